"""Proto files on disk: which there are, what is wrong with their paths, and where imports are found."""

from __future__ import annotations

import keyword
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath

from google.api import annotations_pb2

from kit.errors import ConfigurationError
from kitapi.v1 import policy_pb2

#: Packages that every program with the kit imports: generated code of the same name would hide them, or be hidden.
_TAKEN_ROOTS = frozenset(
    {"click", "google", "grpc", "grpc_health", "grpc_reflection", "kit", "opentelemetry", "structlog"}
)
POLICY_PROTO = PurePosixPath("kitapi/v1/policy.proto")


@dataclass(frozen=True, slots=True)
class ProtoTree:
    """The proto files under some folders, by the names by which they are imported."""

    folders: tuple[Path, ...]
    #: Sorted: "shop/v1/order.proto".
    names: tuple[str, ...]


def find_protos(folders: Sequence[Path]) -> ProtoTree:
    """Every .proto under `folders`. Raises ConfigurationError where there is none, or one name twice."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.proto")):
            name = path.relative_to(folder).as_posix()
            if name in found:
                raise ConfigurationError(
                    f"{name} is in {found[name]} and in {folder}; one of them would hide the other"
                )
            found[name] = folder
    if not found:
        raise ConfigurationError(f"there is no .proto file under {', '.join(map(str, folders))}")
    return ProtoTree(tuple(folders), tuple(sorted(found)))


def path_problems(names: Iterable[str]) -> list[str]:
    """Sentences about paths whose generated code could not be imported."""
    problems: list[str] = []
    for name in names:
        path = PurePosixPath(name)
        for part in path.parts[:-1]:
            word = part.replace("-", "_")
            if keyword.iskeyword(word):
                problems.append(f"{name}: the folder {part!r} is a Python keyword: no statement can import from it")
            elif not word.isidentifier():
                problems.append(f"{name}: the folder {part!r} is no Python name: no statement can import from it")
        root = path.parts[0].replace("-", "_") if len(path.parts) > 1 else ""
        if root in _TAKEN_ROOTS or root in sys.stdlib_module_names:
            hint = "; give its folder with --include instead" if root == "google" else "; put it under another folder"
            problems.append(f"{name}: the root folder {path.parts[0]!r} has the name of an installed package{hint}")
    return problems


def refuse_bad_paths(names: Iterable[str]) -> None:
    """Raises ConfigurationError with all problems at once."""
    if problems := path_problems(names):
        raise ConfigurationError("\n".join(problems))


def outputs(name: str) -> tuple[str, ...]:
    """The files that are generated from the proto file `name`."""
    stem = PurePosixPath(name.replace("-", "_")).with_suffix("")
    return tuple(f"{stem}_{ending}" for ending in ("pb2.py", "pb2.pyi", "pb2_grpc.py", "pb2_grpc.pyi"))


def include_path(folders: Iterable[Path], extra: Iterable[Path]) -> list[Path]:
    """Where imports are looked for: the user's folders, then the kit's protos, googleapis and protobuf's own."""
    well_known = resources.files("grpc_tools") / "_proto"
    builtin = [kit_protos(), googleapis(), Path(str(well_known))]
    path: dict[Path, None] = {}
    for folder in (*folders, *extra, *builtin):
        path.setdefault(folder.resolve())
    return list(path)


def googleapis() -> Path:
    """The folder that holds google/api/annotations.proto and its siblings."""
    return Path(annotations_pb2.__file__).parents[2]


def kit_protos() -> Path:
    """The folder that holds kitapi/v1/policy.proto: beside the installed package, or a source tree's protos/."""
    generated = Path(policy_pb2.__file__).parents[2]
    for folder in (generated, generated.parent):
        if (folder / POLICY_PROTO).is_file():
            return folder
    raise ConfigurationError(f"{POLICY_PROTO} is not where the kit is installed ({generated})")
