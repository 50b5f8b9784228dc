"""`kit ports`: what runs on this machine, by the local registry."""

from __future__ import annotations

import json

import click

from kit.cli._table import table
from kit.discovery import Registry


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def ports(as_json: bool) -> None:
    """List the live instances in the local registry (under KIT_DATA_DIR, else the user data folder)."""
    registry = Registry()
    instances = [instance for name in registry.services() for instance in registry.lookup(name)]
    if as_json:
        for instance in instances:
            click.echo(json.dumps(json.loads(instance.to_json()), sort_keys=True))
        return
    rows = [(one.name, one.address, str(one.pid), one.start_time, one.instance_id) for one in instances]
    for line in table(["SERVICE", "ADDRESS", "PID", "SINCE", "INSTANCE"], rows):
        click.echo(line)
