"""The verb `workspaces`, and the option --workspace of the other verbs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from services.cli import render
from services.cli.asking import json_option
from services.cli.gateway import Gateway, GatewayError, gateway_options
from services.cli.output import quiet_when_closed
from services.cli.quantities import bytes_of, seconds_of, span

_ID = re.compile(r"[a-z][a-z0-9-]{3,62}")
ID_RULE = 'an id is 4 to 63 of a-z, 0-9 and "-", a letter first'
#: Seconds between two questions whether a deletion is done.
POLL = 0.25

workspace_option = click.option(
    "-w", "--workspace", default="default", show_default=True, help=f"Id of the workspace: {ID_RULE}; or workspaces/ID."
)


def in_workspace(workspace: str, rest: str = "") -> str:
    """The URL path of something in a workspace that is given by its id or its name; GatewayError for neither."""
    identifier = workspace.removeprefix("workspaces/")
    if not _ID.fullmatch(identifier):
        raise GatewayError(f"{workspace!r} is no id of a workspace: {ID_RULE}")
    return f"/v1/workspaces/{identifier}" + (f"/{rest}" if rest else "")


def _limit(reader: Callable[[str], int], none: str) -> Callable[..., int | None]:
    def read(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
        if value is None:
            return None
        try:
            return 0 if value == none else reader(value)
        except ValueError as error:
            raise click.BadParameter(f"{error}, or {none}") from None

    return read


def _retention_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--max-age and --max-bytes; 0 lifts a limit, None leaves it as it is."""
    age = click.option(
        "--max-age", callback=_limit(seconds_of, "forever"), metavar="SPAN", help="Keep lines for 30d, 12h, or forever."
    )
    size = click.option(
        "--max-bytes",
        callback=_limit(bytes_of, "unlimited"),
        metavar="SIZE",
        help="Keep so much of the sources, unpacked: 50GB, or unlimited.",
    )
    made: Callable[..., Any] = age(size(command))
    return made


def _retention(max_age: int | None, max_bytes: int | None) -> dict[str, str | None]:
    """The fields that are given, as JSON; None lifts a limit."""
    found: dict[str, str | None] = {}
    if max_age is not None:
        found["maxAge"] = f"{max_age}s" if max_age else None
    if max_bytes is not None:
        found["maxBytes"] = str(max_bytes)
    return found


def kept(workspace: dict[str, Any]) -> str:
    """What is kept of a workspace's logs, in words."""
    limits = workspace.get("retention") or {}
    words = [span(render.seconds(limits["maxAge"]))] if limits.get("maxAge") else []
    if int(limits.get("maxBytes") or 0):
        words.append(render.size(int(limits["maxBytes"])))
    return " and at most ".join(words) if words else "everything"


@click.group(invoke_without_command=True)
@gateway_options
@click.pass_context
def workspaces(ctx: click.Context, gateway: str | None, data_dir: Path | None) -> None:
    """List, create, change and delete workspaces. Without a further word: list."""
    ctx.obj = (gateway, data_dir)
    # The options may stand before the further word or behind it.
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, gateway=gateway, data_dir=data_dir)


@workspaces.command("list")
@json_option
@gateway_options
@click.pass_context
def list_(ctx: click.Context, as_json: bool, gateway: str | None, data_dir: Path | None) -> None:
    """List the workspaces, oldest first."""
    with quiet_when_closed(), _connect(ctx, gateway, data_dir) as door:
        rows: list[tuple[str, ...]] = [("NAME", "DISPLAY NAME", "CREATED", "")]
        for one in door.pages("/v1/workspaces", "workspaces"):
            if as_json:
                click.echo(json.dumps(one, ensure_ascii=False))
            else:
                rows.append(_row(one))
        for line in [] if as_json else render.table(rows):
            click.echo(line)


@workspaces.command()
@click.argument("name")
@json_option
@gateway_options
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool, gateway: str | None, data_dir: Path | None) -> None:
    """Show what the workspace NAME holds and how long it is kept."""
    with quiet_when_closed(), _connect(ctx, gateway, data_dir) as door:
        found = door.ask("GET", in_workspace(name))
        stats = door.ask("GET", in_workspace(name, "logs:stats"))
        if as_json:
            click.echo(json.dumps({"workspace": found, "stats": stats}, ensure_ascii=False))
            return
        raw, stored = int(stats.get("rawBytes", 0)), int(stats.get("storedBytes", 0))
        click.echo(f"{found['name']} ({render.printable(str(found.get('displayName', '')))})")
        click.echo(f"  lines    {int(stats.get('lineCount', 0)):,}")
        click.echo(f"  sources  {render.size(raw)}")
        click.echo(f"  on disk  {render.size(stored)}" + (f" ({stored / raw:.2f} of the sources)" if raw else ""))
        if stats.get("startTime"):
            click.echo(f"  times    {render.moment(stats['startTime'])} to {render.moment(stats.get('endTime'))} UTC")
        click.echo(f"  keeps    {kept(found)}")


@workspaces.command()
@click.argument("name")
@click.option("--id", "identifier", help=f"What -w takes: {ID_RULE}.  [default: NAME]")
@_retention_options
@gateway_options
@click.pass_context
def create(
    ctx: click.Context,
    name: str,
    identifier: str | None,
    max_age: int | None,
    max_bytes: int | None,
    gateway: str | None,
    data_dir: Path | None,
) -> None:
    """Create a workspace that is shown as NAME, and print its name.

    NAME is its id as well, unless --id gives another: 4 to 63 of a-z, 0-9 and "-", a letter first.
    """
    if not _ID.fullmatch(name if identifier is None else identifier):
        shown = render.printable(name if identifier is None else identifier)
        hint = f"; give one: --id ID {render.printable(name)!r}" if identifier is None else ""
        raise GatewayError(f"{shown!r} can be no id: {ID_RULE}{hint}")
    identifier = name if identifier is None else identifier
    body: dict[str, Any] = {"displayName": name}
    if retention := {key: value for key, value in _retention(max_age, max_bytes).items() if value is not None}:
        body["retention"] = retention
    with _connect(ctx, gateway, data_dir) as door:
        made = door.ask("POST", "/v1/workspaces", params={"workspaceId": identifier}, body=body)
        click.echo(made["name"])


@workspaces.command()
@click.argument("name")
@_retention_options
@gateway_options
@click.pass_context
def retention(
    ctx: click.Context,
    name: str,
    max_age: int | None,
    max_bytes: int | None,
    gateway: str | None,
    data_dir: Path | None,
) -> None:
    """Say how long the logs of the workspace NAME are kept, or change it.

    Logs beyond it are deleted, oldest first, some time later.
    """
    wanted = _retention(max_age, max_bytes)
    with _connect(ctx, gateway, data_dir) as door:
        if wanted:
            mask = ",".join(f"retention.{key}" for key in wanted)
            body = {"retention": {key: value for key, value in wanted.items() if value is not None}}
            found = door.ask("PATCH", in_workspace(name), params={"updateMask": mask}, body=body)
        else:
            found = door.ask("GET", in_workspace(name))
        click.echo(f"{found['name']} keeps {kept(found)}")


@workspaces.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until nothing of it is left.")
@gateway_options
@click.pass_context
def delete(ctx: click.Context, name: str, yes: bool, wait: bool, gateway: str | None, data_dir: Path | None) -> None:
    """Delete the workspace NAME with its imports and all its lines."""
    with _connect(ctx, gateway, data_dir) as door:
        found = door.ask("GET", in_workspace(name))
        if not yes:
            shown = render.printable(found.get("displayName", ""))
            click.confirm(f"Delete {found['name']} ({shown}) with everything in it?", abort=True)
        operation = door.ask("DELETE", in_workspace(name))
        while wait and not operation.get("done"):
            time.sleep(POLL)
            operation = door.ask("GET", f"/v1/{operation['name']}")
        if error := operation.get("error"):
            raise GatewayError(str(error.get("message") or "the deletion failed"))
        click.echo(f"{found['name']} deleted" if operation.get("done") else f"{found['name']}: {operation['name']}")


def _connect(ctx: click.Context, gateway: str | None, data_dir: Path | None) -> Gateway:
    outer_gateway, outer_data_dir = ctx.find_object(tuple) or (None, None)
    return Gateway.connect(gateway or outer_gateway, data_dir or outer_data_dir)


def _row(workspace: dict[str, Any]) -> tuple[str, ...]:
    state = f"keeps {kept(workspace)}" if workspace.get("retention") else ""
    if workspace.get("deleting"):
        state = "being deleted"
    created = str(workspace.get("createTime", ""))[:19].replace("T", " ")
    return str(workspace["name"]), render.printable(str(workspace.get("displayName", ""))), created, state
