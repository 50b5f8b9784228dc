"""The verb `import`."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import click

from services.cli import render
from services.cli.gateway import Gateway, GatewayError, gateway_options
from services.cli.workspaces import in_workspace, workspace_option

ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
PIECE_BYTES = 256 << 10
#: Tries in a row to follow an import again after the connection broke, and seconds between them: recovery takes
#: less than 30 s.
RECONNECTS = 30
PAUSE = 1.0


@click.command("import")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@workspace_option
@click.option("--name", default="stdin", show_default=True, help="Source name of what comes from standard input.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Follow the import until it has ended.")
@gateway_options
@click.pass_context
def import_(
    ctx: click.Context,
    paths: tuple[str, ...],
    workspace: str,
    name: str,
    wait: bool,
    gateway: str | None,
    data_dir: Path | None,
) -> None:
    """Import files, folders and archives; "-" is standard input.

    The exit status is 0 when all of it was read, 1 when something of it could not be (it is listed), 2 when the
    import was refused. After Ctrl-C the import goes on in the background.
    """
    files = [absolute(path) for path in paths if path != "-"]
    with Gateway.connect(gateway, data_dir) as door:
        started: list[dict[str, Any]] = []
        if files:
            body = {"sources": [{"path": path} for path in files]}
            started.append(door.ask("POST", in_workspace(workspace, "imports"), body=body))
        if "-" in paths:
            # Asked first, so that a wrong name is known before anything is read.
            door.ask("GET", in_workspace(workspace))
            upload = in_workspace(workspace, "imports:upload")
            started.append(
                door.ask("POST", upload, params={"sourceName": name}, content=_standard_input(), patient=True)
            )
        if not wait:
            for message in started:
                click.echo(message["name"])
            return
        good = True
        for message in started:
            with _goes_on(message["name"]):
                ended = follow(door, message["name"])
            click.echo(render.result(ended))
            for line in render.source_errors(ended):
                click.echo(f"  {render.printable(line)}", err=True)
            good &= ended.get("state") == "SUCCEEDED" and not int(ended.get("errorCount", 0))
        ctx.exit(0 if good else 1)


def absolute(path: str) -> str:
    """The path as the importer, which runs elsewhere, can use it. Links are left as they are."""
    if not path:
        # An empty variable in a script must not import the current folder.
        raise GatewayError('an empty path was given; write "." for the current folder')
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = path.encode(errors="surrogateescape")
        raise GatewayError(f"the name of {shown!r} is not UTF-8; import the folder that holds it instead") from None
    return os.path.abspath(os.path.expanduser(path) if path.startswith("~") else path)


def follow(door: Gateway, name: str) -> dict[str, Any]:
    """Shows the progress of an import until it has ended, and returns it as it ended; goes on after a restart."""
    display = _Display()
    failures = 0
    while True:
        try:
            for message in door.stream(f"/v1/{name}:watch"):
                failures = 0
                display.show(message)
                if message.get("state") in ENDED:
                    display.finish()
                    return message
        except GatewayError as error:
            # No answer, a broken stream, or a service behind the gateway that is being started again.
            if error.status not in {None, 502, 503, 504} or failures >= RECONNECTS:
                display.finish()
                raise
        failures += 1
        if failures > RECONNECTS:
            display.finish()
            raise GatewayError(f"the progress of {name} ended before the import did")
        time.sleep(PAUSE)


class _Display:
    """One line that is written over on a terminal; elsewhere a line for each change of state and each tenth."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._last: tuple[object, ...] = ()
        self._open = False

    def show(self, message: dict[str, Any]) -> None:
        text = render.progress(message)
        if self._live:
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)
            self._open = True
            return
        done = message.get("progress") or {}
        total = int(done.get("totalBytes", 0))
        step = message.get("state"), 10 * int(done.get("processedBytes", 0)) // total if total else 0
        if step != self._last and message.get("state") not in ENDED:
            self._last = step
            click.echo(text, err=True)

    def finish(self) -> None:
        if self._open:
            click.echo("\r\x1b[K", nl=False, err=True)
            self._open = False


@contextlib.contextmanager
def _goes_on(name: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nloganalyzer: {name} goes on in the background", err=True)
        raise SystemExit(130) from None


def _standard_input() -> Iterator[bytes]:
    stream = cast("io.BufferedReader", sys.stdin.buffer)
    while piece := stream.read1(PIECE_BYTES):
        yield piece
