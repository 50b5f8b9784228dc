"""The verb `workspaces`, and the option --workspace of the other verbs."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from services.cli import render
from services.cli.gateway import Gateway, GatewayError, gateway_options
from services.cli.output import quiet_when_closed

_ID = re.compile(r"[a-z][a-z0-9-]{3,62}")
#: Seconds between two questions whether a deletion is done.
POLL = 0.25

workspace_option = click.option(
    "-w", "--workspace", default="default", show_default=True, help="Id of the workspace, or its name workspaces/ID."
)


def in_workspace(workspace: str, rest: str = "") -> str:
    """The URL path of something in a workspace that is given by its id or its name."""
    identifier = quote(workspace.removeprefix("workspaces/"), safe="")
    return f"/v1/workspaces/{identifier}" + (f"/{rest}" if rest else "")


@click.group(invoke_without_command=True)
@gateway_options
@click.pass_context
def workspaces(ctx: click.Context, gateway: str | None, data_dir: Path | None) -> None:
    """List, create and delete workspaces. Without a further word: list."""
    ctx.obj = (gateway, data_dir)
    # The options may stand before the further word or behind it.
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, gateway=gateway, data_dir=data_dir)


@workspaces.command("list")
@gateway_options
@click.pass_context
def list_(ctx: click.Context, gateway: str | None, data_dir: Path | None) -> None:
    """List the workspaces, oldest first."""
    with quiet_when_closed(), _connect(ctx, gateway, data_dir) as door:
        rows: list[tuple[str, ...]] = [("NAME", "DISPLAY NAME", "CREATED", "")]
        token = ""
        while True:
            page = door.ask("GET", "/v1/workspaces", params={"pageSize": 1000, "pageToken": token})
            rows += [_row(workspace) for workspace in page.get("workspaces") or []]
            if not (token := page.get("nextPageToken") or ""):
                break
        for line in render.table(rows):
            click.echo(line)


@workspaces.command()
@click.argument("name")
@click.option("--id", "identifier", help="Last part of its name.  [default: NAME if that can be an id, else made up]")
@gateway_options
@click.pass_context
def create(ctx: click.Context, name: str, identifier: str | None, gateway: str | None, data_dir: Path | None) -> None:
    """Create a workspace that is shown as NAME, and print its name."""
    if identifier is None:
        identifier = name if _ID.fullmatch(name) else ""
    with _connect(ctx, gateway, data_dir) as door:
        made = door.ask("POST", "/v1/workspaces", params={"workspaceId": identifier}, body={"displayName": name})
        click.echo(made["name"])


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
    state = "being deleted" if workspace.get("deleting") else ""
    created = str(workspace.get("createTime", ""))[:19].replace("T", " ")
    return str(workspace["name"]), render.printable(str(workspace.get("displayName", ""))), created, state
