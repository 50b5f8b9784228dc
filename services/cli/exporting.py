"""The verb `export`."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from services.cli import render
from services.cli.asking import ORDERS, order_option, query_argument, time_options
from services.cli.gateway import Gateway, GatewayError, gateway_options
from services.cli.output import Line, quiet_when_closed
from services.cli.workspaces import in_workspace, workspace_option


@click.command()
@query_argument
@workspace_option
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file; it is there only when it is whole.  [default: standard output]",
)
@click.option("--limit", type=click.IntRange(min=1), help="Most lines to export.  [default: all]")
@order_option
@time_options
@gateway_options
def export(
    query: str,
    workspace: str,
    output: Path | None,
    limit: int | None,
    order: str,
    when: dict[str, Any],
    gateway: str | None,
    data_dir: Path | None,
) -> None:
    """Write the lines that match QUERY as NDJSON: a JSON object a line, as `search --json` prints them.

    The exit status is 0 when all of them were written, also when there are none, and 2 after an error.
    """
    params = {"query": query, "orderBy": ORDERS[order], "limit": limit or 0, **when}
    with quiet_when_closed(), Gateway.connect(gateway, data_dir) as door:
        with contextlib.closing(door.download(in_workspace(workspace, "logs:export"), params=params)) as pieces:
            if output is None:
                for piece in pieces:
                    sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
                return
            lines = _write(pieces, output)
        click.echo(f"{render.count(lines, 'line')} written to {output}", err=True)


def _write(pieces: Any, output: Path) -> int:
    """Writes beside the file and takes its place at the end; nothing is left of what failed."""
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    lines = size = 0
    try:
        with partial.open("wb") as file, Line() as line:
            for piece in pieces:
                file.write(piece)
                lines += piece.count(b"\n")
                size += len(piece)
                line.show(f"{render.count(lines, 'line')}, {render.size(size)}")
        partial.replace(output)
    except OSError as error:
        raise GatewayError(f"{output} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return lines
