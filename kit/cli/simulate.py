"""`kit simulate`: a policy against a fault plan, in virtual time."""

from __future__ import annotations

import json as json_module
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from kit.cli._descriptors import from_folders, from_modules, methods_of
from kit.cli._sources import policy_sources
from kit.errors import ConfigurationError
from kit.policy import IdempotencyLevel, MethodPolicy, Preset, policy_for
from kit.policy.leaves import merge
from kit.policy.overlay import load as load_overlay
from kit.testing.simulator import SIMULATED_METHOD, Load, SimulationResult
from kit.testing.simulator import simulate as run

_WIDTH = 40


@click.command()
@policy_sources
@click.option("--method", metavar="METHOD", help='The method that is called: "package.Service/Method".')
@click.option("--preset", type=click.Choice([preset.name.lower() for preset in Preset]), help="A preset as policy.")
@click.option("--plan", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A fault plan (TOML).")
@click.option("--rate", type=float, help="Calls per second, at random instants.  [default: 100]")
@click.option("--clients", type=int, help="Instead: clients that wait for each answer.")
@click.option("--think", type=float, default=0.0, help="Seconds that a client waits before its next call.")
@click.option("--calls", type=int, default=1000, show_default=True, help="How many calls are made.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same history.")
@click.option("--json", is_flag=True, help="Print one JSON object.")
def simulate(
    folders: tuple[Path, ...],
    include: tuple[Path, ...],
    module: tuple[str, ...],
    policy: Path | None,
    method: str | None,
    preset: str | None,
    plan: Path | None,
    rate: float | None,
    clients: int | None,
    think: float,
    calls: int,
    seed: int,
    json: bool,
) -> None:
    """Make calls under a policy to endpoints that fail by a plan, in virtual time, and print what came of them.

    The policy is that of METHOD as the .proto files under PROTO_DIR or --module declare it, with --policy and --preset
    over it. Without METHOD a nameless method is called, which is taken to be idempotent unless --policy says otherwise.
    The program's own channel and layers are run; only the network and the time are pretended.
    """
    path = SIMULATED_METHOD if method is None else f"/{method.removeprefix('/')}"
    try:
        known = methods_of([*from_folders(folders, include), *from_modules(module)])
        if known and path not in known:
            raise click.ClickException(f"{path.removeprefix('/')} is not declared there; say which by --method")
        policies = _policies(policy, preset, nameless=method is None)
        narrowed = policy_for(path, policies).narrowed
        load = Load(rate=100.0 if rate is None and clients is None else rate, clients=clients, think=think)
        with _quiet():
            result = run(policies, plan, load=load, calls=calls, seed=seed, method=path)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    if json:
        click.echo(json_module.dumps(_as_json(result)))
        return
    for line in _as_text(result):
        click.echo(line)
    if narrowed:
        click.echo("the method is not declared safe to execute twice: only what never reached a server is tried again")


def _policies(overlay: Path | None, preset: str | None, *, nameless: bool) -> dict[str, MethodPolicy]:
    """What the command line says, as `policy=` takes it."""
    found = {} if overlay is None else {key: merge(leaves) for key, leaves in load_overlay(overlay).items()}
    if preset is not None:
        if overlay is not None:
            raise click.UsageError("--preset and --policy exclude each other; write the preset into the file")
        found["*"] = MethodPolicy(preset=Preset[preset.upper()])
    if nameless and policy_for(SIMULATED_METHOD, found).policy.idempotency_level is IdempotencyLevel.UNKNOWN:
        service = f"{SIMULATED_METHOD.rpartition('/')[0]}/*"
        found.setdefault(service, MethodPolicy(idempotency_level=IdempotencyLevel.IDEMPOTENT))
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """What fails in a simulation is meant to; the log of it would drown the result."""
    logger = logging.getLogger("kit")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def _as_json(result: SimulationResult) -> dict[str, Any]:
    return {
        "method": result.method.removeprefix("/"),
        "seed": result.seed,
        "calls": result.calls,
        "succeeded": result.succeeded,
        "successRate": result.success_rate,
        "attempts": result.attempts,
        "amplification": result.amplification,
        "durationSeconds": result.duration,
        "latencySeconds": {name: result.latency(quantile) for name, quantile in _QUANTILES.items()},
        "attemptsHistogram": {str(attempts): calls for attempts, calls in result.attempts_histogram.items()},
        "stopReasons": dict(result.stop_reasons),
        "codes": dict(result.codes),
        "digest": result.digest,
    }


def _as_text(result: SimulationResult) -> list[str]:
    latencies = "  ".join(f"{name} {result.latency(q) * 1000:.1f} ms" for name, q in _QUANTILES.items())
    return [
        f"{result.method.removeprefix('/')}: {result.calls} calls in {result.duration:.1f} virtual seconds",
        f"success        {result.success_rate:.2%}",
        f"amplification  {result.amplification:.3f} ({result.attempts} attempts)",
        f"latency        {latencies}",
        "attempts of a call",
        *_bars(result.attempts_histogram, result.calls),
        "why calls stopped",
        *_bars(result.stop_reasons, result.calls),
        "status",
        *_bars(result.codes, result.calls),
        f"seed {result.seed}, history {result.digest[:16]}",
    ]


def _bars(counted: Mapping[Any, int], calls: int) -> list[str]:
    widest = max(len(str(name)) for name in counted)
    figures = len(str(calls))
    return [
        f"  {name!s:<{widest}}  {count:>{figures}}  {'#' * round(count / calls * _WIDTH)}".rstrip()
        for name, count in counted.items()
    ]
