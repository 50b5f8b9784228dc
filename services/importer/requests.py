"""What requests may say: names, paths, pages, uploads."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Sequence

from kit.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound, PermissionDenied, StatusError
from services.importer.reading import ReadProblem, Reason, check_path
from services.importer.records import Mode
from services.importer.roots import Roots

DOMAIN = "loganalyzer"
MOST_SOURCES = 1000
DEFAULT_PAGE = 50
FILES_PAGE = 100
LARGEST_PAGE = 1000
_LONGEST_NAME = 1024

_PARENT = re.compile(r"workspaces/([a-z][a-z0-9-]{3,62})")
_NAME = re.compile(r"workspaces/([a-z][a-z0-9-]{3,62})/imports/([a-z0-9]{1,16})")


def workspace_of(parent: str) -> str:
    """The id in "workspaces/{id}"."""
    found = _PARENT.fullmatch(parent)
    if found is None:
        raise _invalid("parent", f'"{parent}" does not name a workspace: it must look like "workspaces/default".')
    return found.group(1)


def import_of(name: str, field: str = "name") -> tuple[str, str]:
    """The ids in "workspaces/{workspace}/imports/{import}"."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise _invalid(field, f'"{name}" does not name an import: it must look like "workspaces/default/imports/ab12"')
    return found.group(1), found.group(2)


def not_found(name: str) -> NotFound:
    """There is no such import."""
    return NotFound(f"There is no import {name}.", reason="IMPORT_NOT_FOUND", domain=DOMAIN, metadata={"import": name})


def page_size(wanted: int, default: int = DEFAULT_PAGE) -> int:
    """0 is the default; too many are cut to the most."""
    if wanted < 0:
        raise _invalid("page_size", "The page size must not be negative.")
    return min(wanted, LARGEST_PAGE) or default


def mode_of(number: int) -> Mode:
    """The mode of an import."""
    try:
        return Mode(number)
    except ValueError:
        raise _invalid("import.mode", f"{number} is no mode of an import.") from None


def to_page_token(*parts: str | int) -> str:
    """The token of a list: what the list is of, and where it goes on."""
    return base64.urlsafe_b64encode(json.dumps([1, *parts]).encode()).decode().rstrip("=")


def from_page_token(workspace: str, token: str) -> int | None:
    """The sequence number in a token of the same list; None for the first page."""
    if not token:
        return None
    match _token(token):
        case [1, str(of), int(sequence)] if of == workspace and 0 <= sequence < 1 << 62:
            return sequence
    raise _invalid("page_token", "This is not a page token of this list.")


def from_file_token(import_id: str, token: str) -> tuple[str, str] | None:
    """The name and the source id in a token of ListImportFiles; None for the first page."""
    if not token:
        return None
    match _token(token):
        case [1, str(of), str(name), str(source)] if of == import_id:
            return name, source
    raise _invalid("page_token", "This is not a page token of this list.")


def _token(token: str) -> object:
    try:
        found: object = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError):
        return None
    return found


def ended(name: str, wanted: str) -> FailedPrecondition:
    """The import has ended."""
    return FailedPrecondition(
        f"{name} has ended: it cannot be {wanted}.",
        reason="IMPORT_ENDED",
        domain=DOMAIN,
        metadata={"import": name},
    )


def check_sources(paths: Sequence[str], roots: Roots) -> list[tuple[str, str]]:
    """(name, path) of every path that is asked for; `~` at the start is the importer's home.

    Every path must exist, be readable and be allowed: one that is not refuses the import, with a violation for each bad
    one. What is wrong below a folder is no matter here: it becomes an error of the source. Touches the disk.
    """
    if not paths:
        raise _invalid("import.sources", "An import needs at least one source.")
    if len(paths) > MOST_SOURCES:
        raise _invalid("import.sources", f"An import takes at most {MOST_SOURCES} sources; name a folder instead.")
    wrong: list[tuple[type[StatusError], str, FieldViolation]] = []
    sources: list[tuple[str, str]] = []
    for index, path in enumerate(paths):
        try:
            sources.append((path, _checked(path, roots)))
        except _WrongPath as found:
            wrong.append((found.kind, found.reason, FieldViolation(f"import.sources[{index}].path", str(found))))
    if wrong:
        kind, reason, first = wrong[0]
        more = f" ({len(wrong) - 1} more are wrong too.)" if len(wrong) > 1 else ""
        violations = [violation for _, _, violation in wrong]
        raise kind(f"{first.description}{more}", reason=reason, domain=DOMAIN, violations=violations)
    return sources


def check_source_name(name: str) -> str:
    """The name that an upload's lines have as their source."""
    if len(name) > _LONGEST_NAME:
        raise _invalid("source_name", f"The source name has more than {_LONGEST_NAME} characters.")
    return "".join(letter if letter.isprintable() else "�" for letter in name) or "upload"


class _WrongPath(Exception):  # noqa: N818 - becomes a violation
    def __init__(self, kind: type[StatusError], reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.reason = reason


_KINDS: dict[Reason, type[StatusError]] = {Reason.NOT_FOUND: NotFound, Reason.PERMISSION_DENIED: PermissionDenied}


def _checked(path: str, roots: Roots) -> str:
    expanded = os.path.expanduser(path) if path == "~" or path.startswith("~/") else path
    if not expanded:
        raise _WrongPath(InvalidArgument, "PATH_INVALID", "The path is empty.")
    if "\0" in expanded:
        raise _WrongPath(InvalidArgument, "PATH_INVALID", "A path cannot hold a NUL character.")
    if not os.path.isabs(expanded):
        raise _WrongPath(
            InvalidArgument,
            "PATH_NOT_ABSOLUTE",
            f"{path}: an absolute path is needed, since the importer may run in another folder than you.",
        )
    # What lies outside is refused before anything is said about it: not even whether it exists.
    if not roots.allow(os.path.realpath(expanded)):
        raise _WrongPath(
            PermissionDenied,
            "IMPORT_ROOT_NOT_ALLOWED",
            f"{path} lies outside the folders that may be imported. {roots.describe()}",
        )
    try:
        check_path(expanded)
    except ReadProblem as problem:
        kind = _KINDS.get(problem.reason, InvalidArgument)
        raise _WrongPath(kind, f"PATH_{problem.reason.name}", f"{path}: {problem.message}") from None
    return expanded


def _invalid(field: str, sentence: str) -> InvalidArgument:
    return InvalidArgument(sentence, violations=[FieldViolation(field, sentence)])
