"""The verb `import`."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import click

from services.cli import render
from services.cli.asking import json_option
from services.cli.gateway import Gateway, GatewayError, gateway_options
from services.cli.output import Line
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
@click.option(
    "--follow",
    "-f",
    "go_on",
    is_flag=True,
    help="Go on with what is written to the files later, until it is cancelled.",
)
@click.option("--full", is_flag=True, help="Read everything again, also what was imported before.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Show the progress until the import has ended.")
@json_option
@gateway_options
@click.pass_context
def import_(
    ctx: click.Context,
    paths: tuple[str, ...],
    workspace: str,
    name: str,
    go_on: bool,
    full: bool,
    wait: bool,
    as_json: bool,
    gateway: str | None,
    data_dir: Path | None,
) -> None:
    """Import files, folders and archives; "-" is standard input.

    Of a file that was imported before only what is new is read, unless --full is given. The exit status is 0 when all
    of it was read, 1 when something of it could not be (it is listed), 2 when the import was refused. After Ctrl-C the
    import goes on in the background.
    """
    files = [absolute(path) for path in paths if path != "-"]
    if "-" in paths and (go_on or full):
        raise click.UsageError("standard input can be neither followed nor read again: leave out --follow and --full")
    with Gateway.connect(gateway, data_dir) as door:
        started: list[dict[str, Any]] = []
        if files:
            body: dict[str, Any] = {"sources": [{"path": path} for path in files]}
            body |= ({"follow": True} if go_on else {}) | ({"mode": "FULL"} if full else {})
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
                click.echo(json.dumps(message, ensure_ascii=False) if as_json else message["name"])
            return
        good = True
        for message in started:
            with goes_on(message["name"]):
                ended = follow(door, message["name"])
            good &= report(ended, as_json=as_json)
        ctx.exit(0 if good else 1)


def report(ended: dict[str, Any], *, as_json: bool) -> bool:
    """Prints what came of an import; whether all of it was read."""
    if as_json:
        click.echo(json.dumps(ended, ensure_ascii=False))
    else:
        click.echo(render.result(ended))
        for line in render.source_errors(ended):
            click.echo(f"  {render.printable(line)}", err=True)
    return well(ended)


def well(ended: dict[str, Any]) -> bool:
    """Whether all of an import was read."""
    return ended.get("state") == "SUCCEEDED" and not int(ended.get("errorCount", 0))


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
        self._line = Line()
        self._last: tuple[object, ...] = ()

    def show(self, message: dict[str, Any]) -> None:
        text = render.progress(message)
        if self._line.live:
            self._line.show(text)
            return
        done = message.get("progress") or {}
        total = int(done.get("totalBytes", 0))
        step = message.get("state"), 10 * int(done.get("processedBytes", 0)) // total if total else 0
        if step != self._last and message.get("state") not in ENDED:
            self._last = step
            click.echo(text, err=True)

    def finish(self) -> None:
        self._line.clear()


@contextlib.contextmanager
def goes_on(name: str) -> Iterator[None]:
    """After Ctrl-C says that the import has not ended with the command, and how to end it."""
    try:
        yield
    except KeyboardInterrupt:
        hint = f"`loganalyzer imports cancel {name}` ends it"
        click.echo(f"\nloganalyzer: {name} goes on in the background; {hint}", err=True)
        raise SystemExit(130) from None


def _standard_input() -> Iterator[bytes]:
    stream = cast("io.BufferedReader", sys.stdin.buffer)
    while piece := stream.read1(PIECE_BYTES):
        yield piece
