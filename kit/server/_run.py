"""The whole life of a service's process, or of the processes that serve one port together."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence

from kit.errors import ConfigurationError
from kit.observe import configure_logging, get_logger, setup
from kit.observe._setup import Telemetry
from kit.server._worker import Worker
from kit.server._workers import Workers
from kit.server.server import Server

log = get_logger("kit.server")

#: More than any machine has use for.
MAX_WORKERS = 256
#: Seconds after the stop in which threads may end.
THREADS_TIMEOUT = 5.0


def run(server: Server | Callable[[], Server], *, workers: int | None = None, argv: Sequence[str] | None = None) -> int:
    """Logging and telemetry from the environment, then `server.serve()`; returns the process's exit code.

    0 after a stop that was asked for, 1 after a crash, 2 when something is configured wrongly. A function that makes
    the server may raise ConfigurationError too; it is called outside of the event loop.

    With more than one of `workers` so many processes serve the same port: this one starts its own command again for
    each, keeps them running and serves nothing itself. With `argv`, the program's arguments, `--workers N` goes before
    `workers`, and that before KIT_WORKERS. What a process does before it calls `run` each worker does too.
    """
    telemetry = None
    try:
        configure_logging(server.name if isinstance(server, Server) else "")
        worker = Worker.taken(os.environ)
        asked = _workers(argv, workers, os.environ)
        if not isinstance(server, Server):
            server = server()
            configure_logging(server.name)
        if worker is None and asked > 1:
            return asyncio.run(_parent(server, asked))
        if worker is not None:
            worker.join(server)
        telemetry = setup(server.name)
        with contextlib.ExitStack() as running:
            return asyncio.run(_serve(server, telemetry, running))
    except ConfigurationError as error:
        log.error("configured wrongly", error=str(error))  # noqa: TRY400 - a traceback would not help
        return 2
    except Exception:
        log.exception("the server could not run")
        return 1
    finally:
        if telemetry is not None:
            telemetry.shutdown()


async def _serve(server: Server, telemetry: Telemetry | None, running: contextlib.ExitStack) -> int:
    """Serves, and sees to it that the process ends then: asyncio waits for its threads however long they run on.

    In them are handlers that are no coroutines, which nobody can end.
    """
    code = await server.serve()
    timer = threading.Timer(THREADS_TIMEOUT, _end, (code, telemetry))
    timer.daemon = True
    timer.start()
    running.callback(timer.cancel)
    return code


def _end(code: int, telemetry: Telemetry | None) -> None:
    log.warning("handlers that are no coroutines have not ended; the process ends without them")
    if telemetry is not None:
        telemetry.shutdown()
    logging.shutdown()
    os._exit(code)


async def _parent(server: Server, workers: int) -> int:
    return await Workers(server, workers).serve()


def _workers(argv: Sequence[str] | None, workers: int | None, environ: Mapping[str, str]) -> int:
    """How many processes are asked for. Raises ConfigurationError, and ends the program for arguments that are none."""
    if argv is not None:
        parser = argparse.ArgumentParser(description="Everything else is configured by the environment.")
        parser.add_argument("--workers", metavar="N", help="processes that serve the port together")
        given = parser.parse_args(argv).workers
        if given is not None:
            return _count(given, "--workers")
    if workers is not None:
        return _count(workers, "workers")
    return _count(environ.get("KIT_WORKERS") or 1, "KIT_WORKERS")


def _count(value: object, name: str) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_WORKERS):
        raise ConfigurationError(f"{name}: 1 to {MAX_WORKERS} processes are needed, not {value!r}")
    return int(text)
