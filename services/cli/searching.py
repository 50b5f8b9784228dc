"""The verbs `search` and `tail`."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from services.cli import blocks, plan_text, render
from services.cli.asking import ORDERS, json_option, order_option, query_argument, time_options
from services.cli.gateway import Gateway, gateway_options
from services.cli.output import Line, colourful, quiet_when_closed
from services.cli.workspaces import in_workspace, workspace_option

DEFAULT_LIMIT = 100
#: The most that one search can be asked for; beyond it the stream is read without a limit, and left when there is
#: enough.
LARGEST_PAGE = 1000
#: Lines on each side of a hit that can be asked for.
LARGEST_CONTEXT = 500

Json = dict[str, Any]


def result_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How many hits are printed, and how: what `run` takes beside the gateway's options."""
    for option in (
        click.option(
            "--stream", "as_stream", is_flag=True, help="Print the messages of the search: progress, hits, done."
        ),
        json_option,
        click.option("--explain", is_flag=True, help="Print how the query is understood and answered, and no hits."),
        click.option("--count", "only_count", is_flag=True, help="Print only how many lines match."),
        click.option(
            "-C",
            "--context",
            "around",
            type=click.IntRange(0, LARGEST_CONTEXT),
            default=0,
            metavar="N",
            help="Print N lines on each side of a hit as well, as grep -C does.",
        ),
        click.option("--all", "everything", is_flag=True, help="Print every hit."),
        click.option(
            "--limit", type=click.IntRange(min=1), default=DEFAULT_LIMIT, show_default=True, help="Most hits to print."
        ),
    ):
        command = option(command)
    return command


@click.command()
@query_argument
@workspace_option
@result_options
@order_option
@time_options
@gateway_options
@click.pass_context
def search(ctx: click.Context, /, query: str, workspace: str, order: str, when: Json, **options: Any) -> None:
    """Print the lines that match QUERY as source:line:text, newest first.

    QUERY takes terms, "phrases", AND OR NOT ( ), wild*cards, /regexes/, field:value, level:>=warn, last:15m and more;
    docs/query-language.md has all of it. Without one, every line matches. A query that cannot be read is shown with a
    caret under the place. The exit status is grep's: 0 when there are hits, 1 when there are none, 2 after an error.
    """
    run(ctx, workspace, {"query": query, "orderBy": ORDERS[order], **when}, **options)


def run(
    ctx: click.Context,
    workspace: str,
    params: Json,
    *,
    limit: int,
    everything: bool,
    around: int,
    only_count: bool,
    explain: bool,
    as_json: bool,
    as_stream: bool,
    gateway: str | None,
    data_dir: Path | None,
) -> None:
    """One search, with the parameters of its request; ends the command."""
    path = in_workspace(workspace, "logs:search")
    wanted = None if everything else limit
    with quiet_when_closed(), Gateway.connect(gateway, data_dir) as door:
        if explain:
            told = {name: value for name, value in params.items() if name != "orderBy"}
            plan = door.ask("GET", in_workspace(workspace, "logs:explain"), params=told)
            for line in [json.dumps(plan, ensure_ascii=False)] if as_json else plan_text.lines(plan):
                click.echo(line)
            return
        if only_count:
            total = _count(door, path, params)
            click.echo(json.dumps({"totalSize": total}) if as_json else total)
            ctx.exit(0 if total else 1)
        if as_stream:
            ctx.exit(0 if _raw(door, path, params, wanted) else 1)
        printed = 0
        show = _shown_with(door, workspace, around, as_json) if around else _print
        with contextlib.closing(_batches(door, path, params, wanted)) as batches:
            for batch in batches:
                show(batch if wanted is None else batch[: wanted - printed], as_json=as_json)
                printed += len(batch)
                if wanted is not None and printed > wanted:
                    click.echo(f"loganalyzer: only the first {limit}; --all prints every hit", err=True)
                    break
            show([], as_json=as_json)
        ctx.exit(0 if printed else 1)


@click.command()
@query_argument
@workspace_option
@json_option
@gateway_options
def tail(query: str, workspace: str, as_json: bool, gateway: str | None, data_dir: Path | None) -> None:
    """Print matching lines as they are read or become searchable, until Ctrl-C."""
    with quiet_when_closed(), Gateway.connect(gateway, data_dir) as door:
        for message in door.stream(in_workspace(workspace, "logs:tail"), params={"query": query}):
            _print(message.get("hits") or [], as_json=as_json)


def _messages(door: Gateway, path: str, params: Json, wanted: int | None) -> Generator[Json]:
    # One more than wanted, to know whether there are more.
    size = wanted + 1 if wanted is not None and wanted < LARGEST_PAGE else 0
    return door.stream(path, params=params | {"pageSize": size})


def _batches(door: Gateway, path: str, params: Json, wanted: int | None) -> Generator[list[Json]]:
    """The hits; how far the search is stands on a terminal meanwhile."""
    with contextlib.closing(_messages(door, path, params, wanted)) as messages, Line() as line:
        for message in messages:
            if progress := message.get("progress"):
                done, total = int(progress.get("linesDone", 0)), int(progress.get("linesTotal", 0))
                line.show(f"searched {done:,} of {render.count(total, 'line')}")
            if found := (message.get("hits") or {}).get("hits"):
                line.clear()
                yield found


def _raw(door: Gateway, path: str, params: Json, wanted: int | None) -> int:
    """Prints the messages as they are; how many hits they held, `wanted` at most."""
    found = 0
    size = wanted if wanted is not None and wanted <= LARGEST_PAGE else 0
    with contextlib.closing(door.stream(path, params=params | {"pageSize": size})) as messages:
        for message in messages:
            click.echo(json.dumps(message, ensure_ascii=False))
            found += len((message.get("hits") or {}).get("hits") or [])
            if wanted is not None and found >= wanted > LARGEST_PAGE:
                break
    return found


def _count(door: Gateway, path: str, params: Json) -> int:
    page = door.ask("GET", path, params=params | {"pageSize": 1})
    if not page.get("totalSizeIsEstimate"):
        return int(page.get("totalSize", 0))
    return sum(map(len, _batches(door, path, params, None)))


def _print(hits: list[Json], *, as_json: bool) -> None:
    colour = colourful()
    for hit in hits:
        sys.stdout.write((json.dumps(hit, ensure_ascii=False) if as_json else render.hit(hit, colour=colour)) + "\n")
    sys.stdout.flush()


def _shown_with(door: Gateway, workspace: str, around: int, as_json: bool) -> Any:
    """A `_print` that asks for the lines around each hit; called with no hits it prints what it still holds."""
    colour = colourful()
    joined = blocks.Blocks()

    def show(hits: list[Json], *, as_json: bool = as_json) -> None:
        for hit in hits:
            path = in_workspace(workspace, f"logs/{quote(str(hit['id']), safe='')}:context")
            found = door.ask("GET", path, params={"before": around, "after": around})
            # Only the search knows what it was that matched.
            found["hit"] = hit
            if as_json:
                sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
            else:
                sys.stdout.writelines(f"{line}\n" for line in joined.add(found, colour=colour))
        if not hits:
            sys.stdout.writelines(f"{line}\n" for line in joined.end(colour=colour))
        sys.stdout.flush()

    return show
