"""Running protoc, which grpcio-tools brings along."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kit.cli._protos import ProtoTree, googleapis, include_path
from kit.errors import ConfigurationError

_PLUGINS = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")


def generate(tree: ProtoTree, extra: Sequence[Path], out: Path) -> str:
    """Writes messages, stubs and the types of both for the files of `tree` to `out`; returns protoc's warnings."""
    plugins = [f"--plugin={name}={_plugin(name)}" for name in _PLUGINS]
    outs = [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    return _run(tree, extra, [*plugins, *outs])


def descriptor_set(tree: ProtoTree, extra: Sequence[Path], out: Path) -> str:
    """Writes a FileDescriptorSet of `tree` and all that it imports to `out`; returns protoc's warnings."""
    return _run(tree, extra, [f"--descriptor_set_out={out}", "--include_imports"])


def _run(tree: ProtoTree, extra: Sequence[Path], arguments: Sequence[str]) -> str:
    with tempfile.TemporaryDirectory(prefix="kit-include-") as renamed:
        _misnamed(Path(renamed))
        includes = [f"--proto_path={folder}" for folder in (*include_path(tree.folders, extra), renamed)]
        command = [sys.executable, "-P", "-m", "grpc_tools.protoc", *includes, *arguments, *tree.names]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    # The plugins report their files there as well, one line each.
    said = "\n".join(line for line in done.stderr.splitlines() if not line.startswith("Writing mypy to"))
    if done.returncode != 0:
        raise ConfigurationError(f"protoc refuses:\n{said or done.stdout}")
    return said


def _misnamed(folder: Path) -> None:
    """googleapis-common-protos carries google/longrunning/operations.proto under a name that no import has."""
    source = googleapis() / "google/longrunning/operations_proto.proto"
    target = folder / "google/longrunning/operations.proto"
    if source.is_file():
        target.parent.mkdir(parents=True)
        shutil.copyfile(source, target)


def _plugin(name: str) -> str:
    """The plugin beside this interpreter, which need not be on PATH."""
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        if (folder / name).is_file():
            return str(folder / name)
    found = shutil.which(name)
    if found is None:
        raise ConfigurationError(f"{name} is missing; install mypy-protobuf beside the kit")
    return found
