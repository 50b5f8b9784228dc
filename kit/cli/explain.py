"""`kit explain`: the policy that holds for a method, and where each value of it comes from."""

from __future__ import annotations

import difflib
import enum
from pathlib import Path

import click
import grpc

from kit.cli._descriptors import from_folders, from_modules, methods_of
from kit.cli._sources import policy_sources
from kit.cli._table import table
from kit.errors import ConfigurationError, code_from_int
from kit.policy import DownstreamCall, overrides_from, policy_for, worst_case_seconds
from kit.policy.leaves import split


@click.command()
@click.argument("method")
@policy_sources
def explain(
    method: str, folders: tuple[Path, ...], include: tuple[Path, ...], module: tuple[str, ...], policy: Path | None
) -> None:
    """Print the effective policy of METHOD ("package.Service/Method") with the origin of each value.

    Declarations are read from the .proto files under PROTO_DIR or from --module; without either only overlays and
    defaults are known. KIT_POLICY and KIT_PRESET count as they do in a program.
    """
    path = f"/{method.removeprefix('/')}"
    try:
        known = methods_of([*from_folders(folders, include), *from_modules(module)])
        if known and path not in known:
            raise click.ClickException(_not_there(path, known))
        resolved = policy_for(path, overrides_from(policy))
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    click.echo(path)
    if not resolved.known:
        click.echo("no .proto or module was given that declares it; what follows are overlays and defaults")
    leaves = split(resolved.policy)
    rows = [(name, _shown(leaves[name]), resolved.origins.get(name, "")) for name in sorted(leaves)]
    for line in table(["FIELD", "VALUE", "FROM"], rows):
        click.echo(line)
    click.echo(f"worst case: {_seconds(worst_case_seconds(resolved))}")
    if resolved.narrowed:
        click.echo("the method is not declared safe to execute twice: only what never reached a server is tried again")


def _shown(value: object) -> str:
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, float):
        return _seconds(value) if value == float("inf") else f"{value:g}"
    if isinstance(value, frozenset):
        return ", ".join(sorted(code_from_int(code).name for code in value)) or grpc.StatusCode.OK.name
    if isinstance(value, tuple):
        return ", ".join(_call(call) if isinstance(call, DownstreamCall) else str(call) for call in value) or "none"
    return str(value)


def _call(call: DownstreamCall) -> str:
    return f"{call.method}{f' x {call.times}' if call.times > 1 else ''}{' in parallel' if call.parallel else ''}"


def _seconds(value: float) -> str:
    return "no limit" if value == float("inf") else f"{value:g} s"


def _not_there(path: str, known: list[str]) -> str:
    near = difflib.get_close_matches(path, known, n=3)
    hint = f"; did you mean {', '.join(name.removeprefix('/') for name in near)}?" if near else ""
    return f"{path.removeprefix('/')} is not declared there{hint}"
