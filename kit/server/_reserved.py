"""A port that several processes of one server are to share, and nobody else."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from kit.discovery import is_available
from kit.errors import ConfigurationError

__all__ = ["reserved"]


@contextlib.contextmanager
def reserved(listen: str) -> Iterator[int]:
    """The port of "host:port", 0 for one that the system picks; nobody else gets it until the end of the block.

    It is bound and not listened on, with the option that lets the workers do so. Raises ConfigurationError where it is
    taken.
    """
    host, _, number = listen.rpartition(":")
    host = {"*": "0.0.0.0"}.get(host, host.strip("[]"))  # noqa: S104
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigurationError("this system has no SO_REUSEPORT: run one process, without workers")
    with contextlib.ExitStack() as stack:
        try:
            family, kind, _, _, where = socket.getaddrinfo(host, int(number), type=socket.SOCK_STREAM)[0]
            # Other processes with the option would share the port, and take half of the calls.
            if int(number) and not is_available(int(number), str(where[0])):
                raise ConfigurationError(f"{listen} cannot be listened on; is the port taken?")
            held = stack.enter_context(socket.socket(family, kind))
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            try:
                held.bind(where)
            except OSError:
                if not int(number):
                    raise
                # Nobody listens: what is left are connections that a former server without the option has closed.
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                held.bind(where)
        except OSError as error:
            raise ConfigurationError(f"{listen} cannot be listened on: {error.strerror or error}") from error
        yield int(held.getsockname()[1])
