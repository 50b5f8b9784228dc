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
    state = render.count(len(problems), "problem") if problems else "whole"
    held = f"{render.count(lines, 'line')} in {render.count(splits, 'split')}"
    click.echo(f"{workspace.removeprefix('workspaces/'):<10} {held}: {state}")
    for problem in problems:
        hint = "can be repaired" if problem.get("repairable") else "cannot be repaired: import its sources again"
        click.echo(f"  split {problem.get('splitId', '')}: {problem.get('message', '')} ({hint})")
    if repair and problems:
        click.echo(f"  {render.count(int(told['repair'].get('repairedCount', 0)), 'split')} repaired, {len(left)} left")
    elif any(problem.get("repairable") for problem in problems):
        click.echo("  `loganalyzer doctor --repair` builds them again")
    return not left
