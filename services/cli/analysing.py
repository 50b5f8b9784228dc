"""The verbs `top`, `templates` and `histogram`: what the lines that match have in common."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from services.cli import bars, render
from services.cli.asking import json_option, query_argument, time_options
from services.cli.gateway import Gateway, gateway_options
from services.cli.output import colourful, quiet_when_closed
from services.cli.workspaces import in_workspace, workspace_option

Json = dict[str, Any]

#: How often a histogram is asked for again because its bars stand in a small part of it.
LOOKS = 8


@click.command()
@click.argument("field")
@query_argument
@workspace_option
@click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="Most values to print.")
@time_options
@json_option
@gateway_options
@click.pass_context
def top(
    ctx: click.Context,
    field: str,
    query: str,
    workspace: str,
    limit: int,
    when: Json,
    as_json: bool,
    gateway: str | None,
    data_dir: Path | None,
) -> None:
    """Print the most frequent values of FIELD in the lines that match QUERY.

    FIELD is level, source, or a field of the lines such as user.id. The exit status is 1 when no line has it.
    """
    params = {"field": field, "query": query, "limit": limit, **when}
    with quiet_when_closed(), Gateway.connect(gateway, data_dir) as door:
        found = door.ask("GET", in_workspace(workspace, "logs:topValues"), params=params, patient=True)
        values = found.get("values") or []
        if as_json:
            click.echo(json.dumps(found, ensure_ascii=False))
            ctx.exit(0 if values else 1)
        having = int(found.get("lineCount", 0))
        rows = [
            (f"{int(one['count']):,}", render.share(int(one["count"]), having), render.printable(str(one["value"])))
            for one in values
        ]
        for line in render.table(rows, right=2):
            click.echo(line)
        total = int(found.get("totalSize", 0))
        note = f"{render.count(having, 'line')} of the {total:,} that match have {render.printable(field)}"
        if found.get("isEstimate"):
            note += f"; counted in {int(found.get('linesRead', 0)):,} of them"
        click.echo(f"loganalyzer: {note}", err=True)
        ctx.exit(0 if values else 1)


@click.command()
@query_argument
@workspace_option
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most templates to print.")
@time_options
@json_option
@gateway_options
@click.pass_context
def templates(
    ctx: click.Context,
    query: str,
    workspace: str,
    limit: int,
    when: Json,
    as_json: bool,
    gateway: str | None,
    data_dir: Path | None,
) -> None:
    """Print what the lines that match QUERY say, with <*> for what varies; from a sample.

    The exit status is 1 when no line matches.
    """
    params = {"query": query, "limit": limit, **when}
    with quiet_when_closed(), Gateway.connect(gateway, data_dir) as door:
        found = door.ask("GET", in_workspace(workspace, "logs:templates"), params=params, patient=True)
        shapes = found.get("templates") or []
        if as_json:
            click.echo(json.dumps(found, ensure_ascii=False))
            ctx.exit(0 if shapes else 1)
        read = int(found.get("linesRead", 0))
        rows = [
            (f"{int(one['count']):,}", render.share(int(one["count"]), read), render.printable(str(one["text"])))
            for one in shapes
        ]
        for line in render.table(rows, right=2):
            click.echo(line)
        total = int(found.get("totalSize", 0))
        click.echo(f"loganalyzer: from {read:,} of the {render.count(total, 'line')} that match", err=True)
        ctx.exit(0 if shapes else 1)


@click.command()
@query_argument
@workspace_option
@click.option("--bars", "count", type=click.IntRange(1, 1000), default=24, show_default=True, help="Bars wanted.")
@time_options
@json_option
@gateway_options
@click.pass_context
def histogram(
    ctx: click.Context,
    query: str,
    workspace: str,
    count: int,
    when: Json,
    as_json: bool,
    gateway: str | None,
    data_dir: Path | None,
) -> None:
    """Print how many lines match QUERY by time. On a terminal errors are red and warnings yellow.

    The bars are of the times that lines match in; with --json they are of all that is asked for. The exit status is 1
    when no line matches.
    """
    params = {"query": query, "bucketCount": count, **when}
    with quiet_when_closed(), Gateway.connect(gateway, data_dir) as door:
        path = in_workspace(workspace, "logs:histogram")
        found = door.ask("GET", path, params=params, patient=True)
        for _ in range(0 if as_json else LOOKS):
            closer = bars.closer(found)
            if closer is None:
                break
            found = door.ask("GET", path, params=params | closer, patient=True) | {
                "totalSize": found.get("totalSize"),
                "undatedCount": found.get("undatedCount"),
            }
        total = int(found.get("totalSize", 0))
        if as_json:
            click.echo(json.dumps(found, ensure_ascii=False))
        else:
            block = "█" if "utf" in (sys.stdout.encoding or "").lower() else "#"
            for line in bars.lines(found, colour=colourful(), block=block):
                click.echo(line)
        ctx.exit(0 if total else 1)
