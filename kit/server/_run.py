"""The whole life of a service's process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kit.errors import ConfigurationError
from kit.observe import configure_logging, get_logger, setup
from kit.server.server import Server

log = get_logger("kit.server")


def run(server: Server | Callable[[], Server]) -> int:
    """Logging and telemetry from the environment, then `server.serve()`; returns the process's exit code.

    0 after a stop that was asked for, 1 after a crash, 2 when something is configured wrongly. A function that makes
    the server may raise ConfigurationError too; it is called outside of the event loop.
    """
    telemetry = None
    try:
        if not isinstance(server, Server):
            configure_logging("")
            server = server()
        configure_logging(server.name)
        telemetry = setup(server.name)
        return asyncio.run(server.serve())
    except ConfigurationError as error:
        log.error("configured wrongly", error=str(error))  # noqa: TRY400 - a traceback would not help
        return 2
    except Exception:
        log.exception("the server could not run")
        return 1
    finally:
        if telemetry is not None:
            telemetry.shutdown()
