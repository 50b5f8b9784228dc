"""The verb `doctor`: is everything there, and is what is stored whole?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from services.cli import render
from services.cli.asking import json_option
from services.cli.gateway import Gateway, gateway_options
from services.cli.output import quiet_when_closed
from services.cli.workspaces import in_workspace

Json = dict[str, Any]


@click.command()
@click.option("-w", "--workspace", help="Look at this one only.  [default: all workspaces]")
@click.option("--repair", is_flag=True, help="Build what is damaged again from its lines, where they are whole.")
@json_option
@gateway_options
@click.pass_context
def doctor(
    ctx: click.Context,
    workspace: str | None,
    repair: bool,
    as_json: bool,
    gateway: str | None,
    data_dir: Path | None,
) -> None:
    """Check the services and read everything that is stored; say what is damaged.

    The exit status is 0 when all is well, 1 when there are problems (after --repair: when some are left), 2 when it
    could not be looked at.
    """
    with quiet_when_closed(), Gateway.connect(gateway, data_dir) as door:
        well = _services(door, as_json=as_json)
        names = [workspace] if workspace else [str(one["name"]) for one in door.pages("/v1/workspaces", "workspaces")]
        for name in names:
            well &= _logs(door, name, repair=repair, as_json=as_json)
        ctx.exit(0 if well else 1)


def _services(door: Gateway, *, as_json: bool) -> bool:
    found = door.readiness()
    services: Json = found.get("services") or {}
    bad = sorted(name for name, one in services.items() if one.get("status") != "SERVING")
    if as_json:
        click.echo(json.dumps({"gateway": door.url, **found}, ensure_ascii=False))
    else:
        told = ", ".join(f"{name} {services[name].get('status', '')}" for name in bad)
        click.echo(f"services   {told}" if bad else f"services   {len(services)} serving at {door.url}")
    return not bad


def _logs(door: Gateway, workspace: str, *, repair: bool, as_json: bool) -> bool:
    checked = door.ask("GET", in_workspace(workspace, "logs:check"), patient=True)
    problems: list[Json] = checked.get("problems") or []
    told: Json = {"workspace": workspace, "check": checked}
    if repair and problems:
        mended = door.ask("POST", in_workspace(workspace, "logs:repair"), body={}, patient=True)
        told["repair"] = mended
        left: list[Json] = mended.get("problems") or []
    else:
        left = problems
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
        return not left
    splits, lines = int(checked.get("splitCount", 0)), int(checked.get("lineCount", 0))
    damaged = _by_split(problems)
    state = f"{render.count(len(damaged), 'split')} damaged" if problems else "whole"
    held = f"{render.count(lines, 'line')} in {render.count(splits, 'split')}"
    click.echo(f"{workspace.removeprefix('workspaces/'):<10} {held}: {state}")
    for split, found in damaged.items():
        mendable = all(problem.get("repairable") for problem in found)
        for problem in found:
            hint = " (can be repaired)" if mendable else ""
            click.echo(f"  split {split}: {render.printable(str(problem.get('message', '')))}{hint}")
        if not mendable:
            hint = "delete its sources (`loganalyzer sources delete`) and import them again"
            click.echo(f"  split {split} cannot be repaired: {hint}")
    if repair and problems:
        repaired = render.count(int(told["repair"].get("repairedCount", 0)), "split")
        click.echo(f"  {repaired} repaired, {len(_by_split(left))} left")
    elif any(all(problem.get("repairable") for problem in found) for found in damaged.values()):
        click.echo("  `loganalyzer doctor --repair` builds again what can be repaired")
    return not left


def _by_split(problems: list[Json]) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    for problem in problems:
        found.setdefault(str(problem.get("splitId", "")), []).append(problem)
    return found
