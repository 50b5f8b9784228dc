"""What requests may say: names, paths, pages, uploads."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Sequence

from kit.errors import FieldViolation, InvalidArgument, NotFound, PermissionDenied, StatusError
from services.importer.reading import ReadProblem, Reason, check_path
from services.importer.roots import Roots

DOMAIN = "loganalyzer"
MOST_SOURCES = 1000
DEFAULT_PAGE = 50
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


def import_of(name: str) -> tuple[str, str]:
    """The ids in "workspaces/{workspace}/imports/{import}"."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise _invalid("name", f'"{name}" does not name an import: it must look like "workspaces/default/imports/ab12"')
    return found.group(1), found.group(2)


def not_found(name: str) -> NotFound:
    """There is no such import."""
    return NotFound(f"There is no import {name}.", reason="IMPORT_NOT_FOUND", domain=DOMAIN, metadata={"import": name})


def page_size(wanted: int) -> int:
    """0 is the default; too many are cut to the most."""
    if wanted < 0:
        raise _invalid("page_size", "The page size must not be negative.")
    return min(wanted, LARGEST_PAGE) or DEFAULT_PAGE


def to_page_token(workspace: str, sequence: int) -> str:
    """The token of the page behind the import with this sequence number."""
    return base64.urlsafe_b64encode(f"1/{workspace}/{sequence}".encode()).decode().rstrip("=")


def from_page_token(workspace: str, token: str) -> int | None:
    """The sequence number in a token of the same list; None for the first page."""
    if not token:
        return None
    try:
        version, of, sequence = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode().split("/")
    except (binascii.Error, ValueError):
        version = of = sequence = ""
    if version != "1" or of != workspace or not sequence.isascii() or not sequence.isdigit() or len(sequence) > 18:
        raise _invalid("page_token", "This is not a page token of this list.")
    return int(sequence)


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
