"""The verb `sources`: what was imported, by file, and deleting the lines of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from services.cli import render
from services.cli.asking import json_option
from services.cli.gateway import Gateway, GatewayError, gateway_options
from services.cli.output import quiet_when_closed
from services.cli.workspaces import in_workspace, workspace_option

Json = dict[str, Any]


@click.group()
def sources() -> None:
    """Look at the files that lines came from, and delete the lines of some."""


@sources.command("list")
@workspace_option
@click.option("--contains", default="", metavar="TEXT", help="Only those whose path contains it.")
@json_option
@gateway_options
def list_(workspace: str, contains: str, as_json: bool, gateway: str | None, data_dir: Path | None) -> None:
    """List the sources that hold lines, by path."""
    with quiet_when_closed(), Gateway.connect(gateway, data_dir) as door:
        rows: list[tuple[str, ...]] = [("ID", "LINES", "BYTES", "SOURCE")]
        for one in _all(door, workspace, contains):
            if as_json:
                click.echo(json.dumps(one, ensure_ascii=False))
            else:
                rows.append(_row(one))
        for line in [] if as_json else render.table(rows):
            click.echo(line)


@sources.command()
@click.argument("wanted", nargs=-1, required=True, metavar="SOURCE...")
@workspace_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@gateway_options
def delete(wanted: tuple[str, ...], workspace: str, yes: bool, gateway: str | None, data_dir: Path | None) -> None:
    """Delete the lines of SOURCE, which is an id, a name or a whole path."""
    with Gateway.connect(gateway, data_dir) as door:
        found = [one for text in wanted for one in _meant(door, workspace, text)]
        if not yes:
            for one in found:
                click.echo("  ".join(_row(one)[1:]), err=True)
            lines = sum(int(one.get("lineCount", 0)) for one in found)
            click.confirm(f"Delete {render.count(lines, 'line')} of {render.count(len(found), 'source')}?", abort=True)
        for one in found:
            gone = door.ask("DELETE", f"/v1/{one['name']}")
            path = render.printable(str(one.get("source", "")))
            click.echo(f"{path}: {render.count(int(gone.get('lineCount', 0)), 'line')} deleted")


def _all(door: Gateway, workspace: str, contains: str) -> Any:
    return door.pages(in_workspace(workspace, "logSources"), "logSources", params={"contains": contains})


def _meant(door: Gateway, workspace: str, text: str) -> list[Json]:
    """The sources of this path, id or name; more than one where a path was read as another file later."""
    by_path = [one for one in _all(door, workspace, text) if one.get("source") == text]
    found = by_path or [
        one for one in _all(door, workspace, "") if text in {one["name"], str(one["name"]).rpartition("/")[2]}
    ]
    if not found:
        raise GatewayError(f"there is no source {text!r}; `loganalyzer sources list` shows them")
    return found


def _row(one: Json) -> tuple[str, ...]:
    return (
        str(one["name"]).rpartition("/")[2],
        f"{int(one.get('lineCount', 0)):,}",
        render.size(int(one.get("byteCount", 0))),
        render.printable(str(one.get("source", ""))),
    )
