"""`kit check`: are the policies sound, each for itself and all together."""

from __future__ import annotations

from pathlib import Path

import click

from kit.cli._descriptors import from_folders, from_modules, methods_of
from kit.cli._sources import policy_sources
from kit.errors import ConfigurationError, PolicyError
from kit.policy import IdempotencyLevel, Overrides, Resolved, overrides_from, policy_for
from kit.policy.budget import MAX_AMPLIFICATION, problems


@click.command()
@policy_sources
@click.option(
    "--max-amplification",
    type=click.IntRange(1),
    default=MAX_AMPLIFICATION,
    show_default=True,
    help="Attempts that one call may become at the end of any path of declared calls.",
)
def check(
    folders: tuple[Path, ...],
    include: tuple[Path, ...],
    module: tuple[str, ...],
    policy: Path | None,
    max_amplification: int,
) -> None:
    """Check the policies of every method in PROTO_DIR or --module, and that they fit together.

    CONFIG is a TOML overlay. With .proto files it is checked as the overlay of theirs; its tables must then name what
    they declare. Alone it is checked by itself, and every method in it is taken for safe to execute twice where it does
    not say otherwise, as only a .proto knows.

    Refused are contradictions, retries of methods that are not declared safe, options that nothing enforces, a timeout
    that is shorter than 1.5 times the calls made inside, circles of calls, and attempts that multiply too far. The
    exit status is 1 when anything is found, and 2 when the command itself is wrong. Calls made inside are those that
    `downstream` declares.
    """
    alone = not folders and not module
    if alone and policy is None:
        raise click.UsageError("name a PROTO_DIR, a --module or a CONFIG")
    found: list[str] = []
    try:
        overrides = overrides_from(policy)
        declared = methods_of([*from_folders(folders, include), *from_modules(module)])
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    tables = len(overrides.tables)
    if alone:
        declared = sorted(key for key in overrides.tables if key != "*" and not key.endswith("/*"))
        overrides = _taken_for_safe(overrides)
    elif policy is not None:
        found += [f"{key}: no such method or service is declared" for key in _unknown(overrides, declared)]
    resolved: dict[str, Resolved] = {}
    for method in declared:
        try:
            resolved[method] = policy_for(method, overrides)
        except PolicyError as error:
            found.append(str(error))
    if not found and not alone:
        # Only then: a method that was refused would be missed as the callee of another.
        found += [str(problem) for problem in problems(resolved, max_amplification=max_amplification)]
    for line in found:
        click.echo(line)
    if found:
        raise click.exceptions.Exit(1)
    if alone:
        click.echo(f"{tables} table{'s are' if tables != 1 else ' is'} in order; name a PROTO_DIR too, to check")
        click.echo("them against what is declared there")
        return
    calls = sum(len(one.policy.downstream or ()) for one in resolved.values())
    click.echo(f"{len(resolved)} methods and {calls} declared calls between them are in order")


def _taken_for_safe(overrides: Overrides) -> Overrides:
    everywhere = {"idempotency_level": IdempotencyLevel.IDEMPOTENT, **overrides.tables.get("*", {})}
    return Overrides({**overrides.tables, "*": everywhere})


def _unknown(overrides: Overrides, declared: list[str]) -> list[str]:
    """Tables that hold for nothing: a method or service that is not there, or is misspelt."""
    known = {"*", *declared, *(f"{method.rpartition('/')[0]}/*" for method in declared)}
    return [key for key in overrides.tables if key not in known]
