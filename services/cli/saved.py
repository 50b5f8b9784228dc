"""The verb `saved`: queries that are kept under a name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from services.cli import render, searching
from services.cli.asking import ORDERS, json_option, order_option, time_options
from services.cli.gateway import Gateway, GatewayError, gateway_options
from services.cli.output import quiet_when_closed
from services.cli.workspaces import in_workspace, workspace_option

Json = dict[str, Any]


@click.group()
def saved() -> None:
    """Keep queries under a name, and search with them."""


@saved.command("list")
@workspace_option
@json_option
@gateway_options
def list_(workspace: str, as_json: bool, gateway: str | None, data_dir: Path | None) -> None:
    """List the saved queries by name."""
    with quiet_when_closed(), Gateway.connect(gateway, data_dir) as door:
        rows: list[tuple[str, ...]] = [("NAME", "ORDER", "QUERY")]
        for one in _all(door, workspace):
            if as_json:
                click.echo(json.dumps(one, ensure_ascii=False))
            else:
                order = "oldest" if one.get("orderBy") == ORDERS["oldest"] else "newest"
                rows.append((render.printable(one["displayName"]), order, render.printable(str(one.get("query", "")))))
        for line in [] if as_json else render.table(rows):
            click.echo(line)


@saved.command()
@click.argument("name")
@click.argument("query")
@workspace_option
@order_option
@click.option("--replace", is_flag=True, help="Change the one that has the name already.")
@json_option
@gateway_options
def add(
    name: str,
    query: str,
    workspace: str,
    order: str,
    replace: bool,
    as_json: bool,
    gateway: str | None,
    data_dir: Path | None,
) -> None:
    """Keep QUERY as NAME. One that cannot be read is refused."""
    body = {"displayName": name, "query": query, "orderBy": ORDERS[order]}
    with Gateway.connect(gateway, data_dir) as door:
        # So that a mistake is seen now and not when it is needed.
        door.ask("GET", in_workspace(workspace, "logs:search"), params={"query": query, "pageSize": 1})
        try:
            made = door.ask("POST", in_workspace(workspace, "savedQueries"), body=body)
        except GatewayError as error:
            if error.status != 409 or error.reason != "SAVED_QUERY_EXISTS":
                raise
            if not replace:
                raise GatewayError(f"{error.message}; --replace changes it", status=error.status) from None
            made = door.ask("PATCH", f"/v1/{_named(door, workspace, name)['name']}", body=body)
        click.echo(json.dumps(made, ensure_ascii=False) if as_json else made["name"])


@saved.command()
@click.argument("name")
@workspace_option
@searching.result_options
@time_options
@gateway_options
@click.pass_context
def run(ctx: click.Context, /, name: str, workspace: str, when: Json, **options: Any) -> None:
    """Search with the saved query NAME; the options and the exit status are those of `search`."""
    with Gateway.connect(options["gateway"], options["data_dir"]) as door:
        found = _named(door, workspace, name)
    params = {"query": found.get("query", ""), "orderBy": found.get("orderBy") or ORDERS["newest"], **when}
    searching.run(ctx, workspace, params, **options)


@saved.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@workspace_option
@gateway_options
def remove(names: tuple[str, ...], workspace: str, gateway: str | None, data_dir: Path | None) -> None:
    """Forget saved queries."""
    with Gateway.connect(gateway, data_dir) as door:
        for found in [_named(door, workspace, name) for name in names]:
            door.ask("DELETE", f"/v1/{found['name']}")
            click.echo(f"{render.printable(found['displayName'])} removed")


def _all(door: Gateway, workspace: str) -> Any:
    return door.pages(in_workspace(workspace, "savedQueries"), "savedQueries")


def _named(door: Gateway, workspace: str, name: str) -> Json:
    """By its display name, else by its resource name or id. GatewayError where there is none."""
    found: list[Json] = list(_all(door, workspace))
    for one in found:
        if one.get("displayName") == name:
            return one
    for one in found:
        if name in {one["name"], str(one["name"]).rpartition("/")[2]}:
            return one
    raise GatewayError(f'there is no saved query "{name}"; `loganalyzer saved list` shows them')
