"""`kit check`: are the policies sound, each for itself and all together."""

from __future__ import annotations

from pathlib import Path

import click

from kit.cli._budget import MAX_AMPLIFICATION, problems
from kit.cli._descriptors import from_folders, from_modules, methods_of
from kit.cli._sources import policy_sources
from kit.errors import ConfigurationError, PolicyError
from kit.policy import Resolved, overrides_from, policy_for


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

    Refused are contradictions, retries of methods that are not declared safe, options that nothing enforces, a timeout
    that is shorter than 1.5 times the calls made inside, circles of calls, and attempts that multiply too far. The
    exit status is 1 when anything is found. Calls made inside are those that `downstream` declares.
    """
    if not folders and not module:
        raise click.UsageError("name a PROTO_DIR or a --module")
    resolved: dict[str, Resolved] = {}
    found: list[str] = []
    try:
        overrides = overrides_from(policy)
        methods = methods_of([*from_folders(folders, include), *from_modules(module)])
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    for method in methods:
        try:
            resolved[method] = policy_for(method, overrides)
        except PolicyError as error:
            found.append(str(error))
    if not found:
        # Only then: a method that was refused would be missed as the callee of another.
        found += [str(problem) for problem in problems(resolved, max_amplification=max_amplification)]
    for line in found:
        click.echo(line)
    if found:
        raise click.exceptions.Exit(1)
    calls = sum(len(one.policy.downstream or ()) for one in resolved.values())
    click.echo(f"{len(resolved)} methods and {calls} declared calls between them are in order")
