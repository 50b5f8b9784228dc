"""The command group, and what holds for every verb."""

from __future__ import annotations

import sys
from importlib import metadata

import click

from kit.errors import KitError
from services.cli.analysing import histogram, templates, top
from services.cli.doctor import doctor
from services.cli.exporting import export
from services.cli.gateway import GatewayError
from services.cli.importing import import_
from services.cli.imports import imports
from services.cli.saved import saved
from services.cli.searching import search, tail
from services.cli.sources import sources
from services.cli.up import up
from services.cli.workspaces import workspaces


class _Verbs(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            if error.ctx is not None and any(each.name == "query" for each in error.ctx.command.params):
                hint = 'a query that begins with "-" stands behind "--"; to leave lines out write NOT word'
                raise click.UsageError(f"{error.format_message()} ({hint})", error.ctx) from error
            raise
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


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(_version(), prog_name="loganalyzer")
def main() -> None:
    """Import logs, and search them.

    `loganalyzer up` starts everything on this machine; the other commands talk to what it started.

    \b
    Exit status, unless a command's own help says more:
      0    it went well, and something was found
      1    nothing was found, something could not be read, or problems are left
      2    refused, failed, or wrongly used; a sentence on standard error says why
      130  ended by Ctrl-C
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character must not end the command.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]


for verb in (
    *(up, import_, imports, search, tail, export, top, templates, histogram),
    *(saved, sources, doctor, workspaces),
):
    main.add_command(verb)
