"""The command group, and what holds for every verb."""

from __future__ import annotations

import sys
from importlib import metadata

import click

from kit.errors import KitError
from services.cli.gateway import GatewayError
from services.cli.importing import import_
from services.cli.searching import search, tail
from services.cli.up import up
from services.cli.workspaces import workspaces


class _Verbs(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # As a shell reports a command that SIGINT ended. Nothing is to be said: it was meant.
            raise SystemExit(130) from None
        except KitError as error:
            raise GatewayError(str(error)) from error


def _version() -> str:
    try:
        return metadata.version("grpc-service-kit")
    except metadata.PackageNotFoundError:
        return "(run from source)"


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version(), prog_name="loganalyzer")
def main() -> None:
    """Import logs, and search them.

    `loganalyzer up` starts everything on this machine; the other commands talk to what it started.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character must not end the command.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]


for verb in (up, import_, search, tail, workspaces):
    main.add_command(verb)
