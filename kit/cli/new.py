"""`kit new`: a small service that works, to be changed into yours."""

from __future__ import annotations

import keyword
import re
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template

import click

from kit.cli import _protoc
from kit.cli._drift import compare, write
from kit.cli._protos import find_protos, outputs, refuse_bad_paths
from kit.errors import ConfigurationError

#: Where each file of the template goes.
_FILES: Mapping[str, str] = {
    "service.proto.txt": "protos/$name/v1/$name.proto",
    "service.py.txt": "service.py",
    "test_service.py.txt": "test_service.py",
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
}
#: What the template itself is made of.
_TAKEN = frozenset({"service", "test_service", "gen", "protos", "kitapi", "tests"})


@click.command()
@click.argument("name")
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), help="The folder; NAME where you are if left out."
)
def new(name: str, into: Path | None) -> None:
    """Make a service called NAME: a .proto with policy, the code for it, a test, and generated stubs.

    NAME is lower-case letters, digits and "-". The folder must not exist, or be empty.
    """
    words = _words(name)
    folder = Path(name) if into is None else into
    if folder.exists() and any(folder.iterdir()):
        raise click.ClickException(f"{folder} is there already, and not empty")
    try:
        refuse_bad_paths([f"{words['name']}/v1/{words['name']}.proto"])
        for source, target in _FILES.items():
            text = resources.files("kit.cli").joinpath("template", source).read_text("utf-8")
            path = folder / Template(target).substitute(words)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(Template(text).substitute(words), "utf-8")
        _generate(folder)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    steps = ("python -m pip install pytest pytest-asyncio", "python -m pytest", "python service.py")
    click.echo("\n  ".join([f"{folder} is ready:", f"cd {folder}", *steps]))


def _words(name: str) -> dict[str, str]:
    module = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or keyword.iskeyword(module):
        raise click.UsageError(f'{name!r} is no name for a service: lower-case letters, digits and "-", no keyword')
    if module in _TAKEN:
        raise click.UsageError(f"{name!r} is the name of something that every service has; choose another")
    return {"service": name, "name": module, "Name": "".join(word.capitalize() for word in name.split("-"))}


def _generate(folder: Path) -> None:
    tree = find_protos([folder / "protos"])
    with tempfile.TemporaryDirectory(prefix="kit-new-") as temporary:
        _protoc.generate(tree, (), Path(temporary))
        wanted = [file for proto in tree.names for file in outputs(proto)]
        write(Path(temporary), folder / "gen", compare(Path(temporary), folder / "gen", wanted))
