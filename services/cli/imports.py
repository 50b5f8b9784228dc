"""The verb `imports`: looking at imports, and pausing, resuming and cancelling them."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from services.cli import importing, render
from services.cli.asking import json_option
from services.cli.gateway import Gateway, GatewayError, gateway_options
from services.cli.output import quiet_when_closed
from services.cli.workspaces import in_workspace, workspace_option

Json = dict[str, Any]

_NAME = re.compile(r"workspaces/[a-z0-9-]+/imports/[^/]+")


def path_of(workspace: str, name: str) -> str:
    """The URL path of an import that is given by its id or its name."""
    if _NAME.fullmatch(name):
        return f"/v1/{name}"
    return in_workspace(workspace, f"imports/{quote(name, safe='')}")


@click.group()
def imports() -> None:
    """Look at imports; pause, resume and cancel them.

    NAME is an id, or a whole name as `import` prints it; without one it is the newest import.
    """


@imports.command("list")
@workspace_option
@click.option("--limit", type=click.IntRange(min=1, max=1000), default=50, show_default=True)
@json_option
@gateway_options
def list_(workspace: str, limit: int, as_json: bool, gateway: str | None, data_dir: Path | None) -> None:
    """List the imports, newest first."""
    with quiet_when_closed(), Gateway.connect(gateway, data_dir) as door:
        page = door.ask("GET", in_workspace(workspace, "imports"), params={"pageSize": limit})
        found: list[Json] = page.get("imports") or []
        if as_json:
            for one in found:
                click.echo(json.dumps(one, ensure_ascii=False))
            return
        rows: list[tuple[str, ...]] = [("ID", "STATE", "CREATED", "LINES", "BYTES", "ERRORS", "SOURCES")]
        rows += [_row(one) for one in found]
        for line in render.table(rows):
            click.echo(line)


@imports.command()
@click.argument("name", default="")
@workspace_option
@json_option
@gateway_options
def show(name: str, workspace: str, as_json: bool, gateway: str | None, data_dir: Path | None) -> None:
    """Show how far an import is and what it could not read."""
    with quiet_when_closed(), Gateway.connect(gateway, data_dir) as door:
        found = door.ask("GET", _chosen(door, workspace, name))
        if as_json:
            click.echo(json.dumps(found, ensure_ascii=False))
            return
        click.echo(found["name"])
        for title, text in _facts(found):
            click.echo(f"  {title:<9}{render.printable(text)}")
        for line in render.source_errors(found):
            click.echo(f"  {render.printable(line)}")


@imports.command()
@click.argument("name", default="")
@workspace_option
@json_option
@gateway_options
def files(name: str, workspace: str, as_json: bool, gateway: str | None, data_dir: Path | None) -> None:
    """List what is known of each file, and each member of an archive, that an import has read."""
    with quiet_when_closed(), Gateway.connect(gateway, data_dir) as door:
        rows: list[tuple[str, ...]] = [("STATE", "LINES", "BYTES", "TIMES", "ENCODING", "LEVELS", "PATH")]
        for file in door.pages(f"{_chosen(door, workspace, name)}/files", "files"):
            if as_json:
                click.echo(json.dumps(file, ensure_ascii=False))
            else:
                rows.append(_file(file))
        for line in [] if as_json else render.table(rows):
            click.echo(line)


@imports.command()
@click.argument("name", default="")
@workspace_option
@json_option
@gateway_options
@click.pass_context
def watch(
    ctx: click.Context, name: str, workspace: str, as_json: bool, gateway: str | None, data_dir: Path | None
) -> None:
    """Show the progress of an import until it has ended. The exit status is that of `import`."""
    with quiet_when_closed(), Gateway.connect(gateway, data_dir) as door:
        path = _chosen(door, workspace, name)
        if as_json:
            message: Json = {}
            with contextlib.closing(door.stream(f"{path}:watch")) as messages:
                for message in messages:
                    click.echo(json.dumps(message, ensure_ascii=False))
            ctx.exit(0 if importing.well(message) else 1)
        with importing.goes_on(path.removeprefix("/v1/")):
            ended = importing.follow(door, path.removeprefix("/v1/"))
        ctx.exit(0 if importing.report(ended, as_json=False) else 1)


def _act(verb: str, text: str) -> None:
    @imports.command(verb, help=text)
    @click.argument("names", nargs=-1, required=True, metavar="NAME...")
    @workspace_option
    @json_option
    @gateway_options
    def act(names: tuple[str, ...], workspace: str, as_json: bool, gateway: str | None, data_dir: Path | None) -> None:
        with Gateway.connect(gateway, data_dir) as door:
            for name in names:
                found = door.ask("POST", f"{path_of(workspace, name)}:{verb}", body={})
                click.echo(json.dumps(found, ensure_ascii=False) if as_json else f"{found['name']}: {_state(found)}")


_act("pause", "Stop imports for now; `resume` lets them go on where they were.")
_act("resume", "Let paused imports go on.")
_act("cancel", "Stop imports. What was searchable stays so.")


def _chosen(door: Gateway, workspace: str, name: str) -> str:
    if name:
        return path_of(workspace, name)
    newest = door.ask("GET", in_workspace(workspace, "imports"), params={"pageSize": 1}).get("imports") or []
    if not newest:
        raise GatewayError("nothing was imported here yet")
    return f"/v1/{newest[0]['name']}"


def _row(one: Json) -> tuple[str, ...]:
    sources = [str(source.get("path", "")) for source in one.get("sources") or []]
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return (
        str(one["name"]).rpartition("/")[2],
        _state(one),
        render.moment(one.get("createTime")),
        f"{int(one.get('lineCount', 0)):,}",
        render.size(int(one.get("byteCount", 0))),
        str(one.get("errorCount", 0)),
        render.printable(sources[0] if sources else "") + more,
    )


def _state(one: Json) -> str:
    state = str(one.get("state", "")).lower()
    return f"{state}, follows" if one.get("follow") and one.get("state") not in importing.ENDED else state


def _facts(one: Json) -> list[tuple[str, str]]:
    facts = [("state", _state(one))]
    facts += [("source", str(source.get("path", ""))) for source in one.get("sources") or []]
    facts += [
        ("read", f"{render.count(int(one.get('lineCount', 0)), 'line')}, {render.size(int(one.get('byteCount', 0)))} "),
        ("files", f"{int(one.get('fileCount', 0)):,}"),
        ("errors", f"{int(one.get('errorCount', 0)):,}"),
    ]
    facts += [
        (title, render.moment(one.get(field)))
        for title, field in (("created", "createTime"), ("started", "startTime"), ("ended", "endTime"))
        if one.get(field)
    ]
    if one.get("state") not in importing.ENDED:
        facts.append(("progress", render.progress(one)))
    elif one.get("errorMessage"):
        facts.append(("why", str(one["errorMessage"])))
    return [(title, text.strip()) for title, text in facts]


def _file(file: Json) -> tuple[str, ...]:
    levels = " ".join(f"{str(level['level']).lower()}:{int(level['count']):,}" for level in file.get("levels") or [])
    return (
        str(file.get("state", "")).lower(),
        f"{int(file.get('lineCount', 0)):,}",
        render.size(int(file.get("byteCount", 0))),
        str(file.get("format") or "-"),
        str(file.get("encoding") or "-"),
        levels or "-",
        render.printable(str(file.get("path", ""))),
    )
