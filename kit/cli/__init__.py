"""The `kit` program: one small module for each command, loaded when it is asked for."""

from __future__ import annotations

import importlib

import click

_COMMANDS = (
    "breakers",
    "call",
    "calls",
    "check",
    "endpoints",
    "events",
    "explain",
    "gen",
    "health",
    "limits",
    "new",
    "policies",
    "ports",
    "simulate",
)


class _Commands(click.Group):
    """Loads a command's module when it is needed: `kit ports` need not import protobuf."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(f"kit.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="grpc-service-kit", prog_name="kit")
def main() -> None:
    """Work on services that are built on the kit: generate code, check policies, look at what runs."""


__all__ = ["main"]
