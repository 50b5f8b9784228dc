"""The verbs `search` and `tail`."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from services.cli import render, times
from services.cli.gateway import Gateway, gateway_options
from services.cli.output import colourful, quiet_when_closed
from services.cli.workspaces import in_workspace, workspace_option

DEFAULT_LIMIT = 100
#: The most that one search can be asked for; beyond it the stream is read without a limit, and left when there is
#: enough.
LARGEST_PAGE = 1000
ORDERS = {"newest": "timestamp desc", "oldest": "timestamp"}


def _instant(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else times.parse(value, datetime.now(UTC))
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is no time: give 2024-01-31, 2024-01-31T12:00:00Z, or how long ago: 15m, 2h, 3d"
        ) from None


@click.command()
@click.argument("query", default="")
@workspace_option
@click.option(
    "--limit", type=click.IntRange(min=1), default=DEFAULT_LIMIT, show_default=True, help="Most hits to print."
)
@click.option("--all", "everything", is_flag=True, help="Print every hit.")
@click.option("--order", type=click.Choice(sorted(ORDERS)), default="newest", show_default=True)
@click.option(
    "--since", callback=_instant, metavar="TIME", help="Only lines from then on: 2024-01-31T12:00Z, 15m, 2h, 3d."
)
@click.option("--until", callback=_instant, metavar="TIME", help="Only lines before then.")
@click.option("--count", "only_count", is_flag=True, help="Print only how many lines match.")
@click.option("--json", "as_json", is_flag=True, help="Print hits as JSON, one on a line.")
@gateway_options
@click.pass_context
def search(
    ctx: click.Context,
    query: str,
    workspace: str,
    limit: int,
    everything: bool,
    order: str,
    since: str | None,
    until: str | None,
    only_count: bool,
    as_json: bool,
    gateway: str | None,
    data_dir: Path | None,
) -> None:
    """Print the lines that match QUERY as source:line:text, newest first.

    QUERY takes terms, "phrases", AND OR NOT ( ), level:error, level:>=warn, source:text, time:>=2024-01-01. Without
    one, every line matches. The exit status is grep's: 0 when there are hits, 1 when there are none, 2 after an error.
    """
    path = in_workspace(workspace, "logs:search")
    params: dict[str, Any] = {"query": query, "orderBy": ORDERS[order]}
    params |= {name: value for name, value in (("startTime", since), ("endTime", until)) if value is not None}
    wanted = None if everything else limit
    with quiet_when_closed(), Gateway.connect(gateway, data_dir) as door:
        if only_count:
            total = _count(door, path, params)
            click.echo(total)
            ctx.exit(0 if total else 1)
        printed = 0
        with contextlib.closing(_batches(door, path, params, wanted)) as batches:
            for batch in batches:
                _print(batch if wanted is None else batch[: wanted - printed], as_json=as_json)
                printed += len(batch)
                if wanted is not None and printed > wanted:
                    click.echo(f"loganalyzer: only the first {limit}; --all prints every hit", err=True)
                    break
        ctx.exit(0 if printed else 1)


@click.command()
@click.argument("query", default="")
@workspace_option
@click.option("--json", "as_json", is_flag=True, help="Print hits as JSON, one on a line.")
@gateway_options
def tail(query: str, workspace: str, as_json: bool, gateway: str | None, data_dir: Path | None) -> None:
    """Print matching lines as they become searchable, until Ctrl-C."""
    with quiet_when_closed(), Gateway.connect(gateway, data_dir) as door:
        for message in door.stream(in_workspace(workspace, "logs:tail"), params={"query": query}):
            _print(message.get("hits") or [], as_json=as_json)


def _batches(door: Gateway, path: str, params: dict[str, Any], wanted: int | None) -> Generator[list[dict[str, Any]]]:
    # One more than wanted, to know whether there are more.
    size = wanted + 1 if wanted is not None and wanted < LARGEST_PAGE else 0
    with contextlib.closing(door.stream(path, params=params | {"pageSize": size})) as messages:
        for message in messages:
            yield (message.get("hits") or {}).get("hits") or []


def _count(door: Gateway, path: str, params: dict[str, Any]) -> int:
    page = door.ask("GET", path, params=params | {"pageSize": 1})
    if not page.get("totalSizeIsEstimate"):
        return int(page.get("totalSize", 0))
    return sum(map(len, _batches(door, path, params, None)))


def _print(hits: list[dict[str, Any]], *, as_json: bool) -> None:
    colour = colourful()
    for hit in hits:
        sys.stdout.write((json.dumps(hit, ensure_ascii=False) if as_json else render.hit(hit, colour=colour)) + "\n")
    sys.stdout.flush()
