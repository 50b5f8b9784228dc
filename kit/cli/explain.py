"""`kit explain`: the policy that holds for a method, where each value of it comes from, and what follows from it."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import click
import grpc

from kit.cli._descriptors import from_folders, from_modules, methods_of
from kit.cli._sources import policy_sources
from kit.cli._table import table
from kit.errors import ConfigurationError, PolicyError, code_from_int
from kit.policy import DownstreamCall, Overrides, Resolved, overrides_from, policy_for, worst_case_seconds
from kit.policy.budget import attempts_of, fits, needed_seconds, paths_from
from kit.policy.leaves import split
from kit.policy.overlay import is_key


@click.command()
@click.argument("method")
@policy_sources
def explain(
    method: str, folders: tuple[Path, ...], include: tuple[Path, ...], module: tuple[str, ...], policy: Path | None
) -> None:
    """Print the effective policy of METHOD ("package.Service/Method") with the origin of each value.

    Declarations are read from the .proto files under PROTO_DIR or from --module; without either only overlays and
    defaults are known. CONFIG is a TOML overlay. KIT_POLICY and KIT_PRESET count as they do in a program. Printed below
    are the longest that a call can take, and what one call can become: attempts of this method, and along the calls
    that it declares to make.
    """
    path = f"/{method.removeprefix('/')}"
    if not is_key(path) or path.endswith("*"):
        raise click.UsageError(f'{method!r} is not the name of a method; write "package.Service/Method"')
    try:
        known = methods_of([*from_folders(folders, include), *from_modules(module)])
        if known and path not in known:
            raise click.ClickException(_not_there(path, known))
        overrides = overrides_from(policy)
        resolved = policy_for(path, overrides)
        policies = {path: resolved, **_sound(known, overrides)}
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    click.echo(path)
    if not resolved.known:
        click.echo("no .proto or module was given that declares it; what follows are overlays and defaults")
    leaves = split(resolved.policy)
    rows = [(name, _shown(leaves[name]), resolved.origins.get(name, "")) for name in sorted(leaves)]
    for line in table(["FIELD", "VALUE", "FROM"], rows):
        click.echo(line)
    for line in _consequences(resolved, policies):
        click.echo(line)
    if resolved.narrowed:
        click.echo("the method is not declared safe to execute twice: only what never reached a server is tried again")


def _sound(methods: list[str], overrides: Overrides) -> dict[str, Resolved]:
    """The policies of those that have one; what is wrong with the others is `kit check`'s to say."""
    found = {}
    for method in methods:
        with suppress(PolicyError):
            found[method] = policy_for(method, overrides)
    return found


def _consequences(resolved: Resolved, policies: Mapping[str, Resolved]) -> Iterator[str]:
    """What the figures come to."""
    yield f"worst case: {_seconds(worst_case_seconds(resolved))}"
    needed = needed_seconds(resolved, policies)
    if needed is not None and needed > 0:
        short = "" if fits(resolved, needed) else ", which it has not"
        yield f"the calls made inside need {_seconds(needed)}, 50 % included{short}"
    most = attempts_of(resolved)
    yield f"amplification: one call may become {most} attempt{'s' if most > 1 else ''}"
    for way in paths_from(resolved.method, policies):
        if way.circle:
            yield f"  without end: {way} goes round in a circle"
        elif len(way.methods) > 1:
            yield f"  {way.attempts} at the end of {way}"
    for call in resolved.policy.downstream or ():
        if f"/{call.method}" not in policies:
            yield f"  {call.method}: its policy is not known here"


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
