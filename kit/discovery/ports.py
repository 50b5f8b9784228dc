"""Ports of this machine: is one free, and which one to take."""

from __future__ import annotations

import errno
import socket


def is_available(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on `port` of `host` now; without SO_REUSEPORT, so a used port is seen as used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections are in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            # On some systems only this tells that another socket listens.
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def port_of(address: str) -> int:
    """The port in "host:port"; 0 where there is none."""
    port = address.rpartition(":")[2]
    return int(port) if port.isascii() and port.isdigit() and int(port) < 65536 else 0


def find_port(preferred: int, *, last: int | None = None, tries: int = 10, host: str = "127.0.0.1") -> int:
    """The first free port of the `tries` from `preferred` on, none beyond `last`; else one that the system picks.

    The answer may be taken by another process before it is used: whoever binds must be ready to ask again. A server
    that may listen anywhere binds port 0 and is found through the registry instead.
    """
    end = min(preferred + tries, 65536) if last is None else min(preferred + tries, last + 1)
    for port in range(preferred, end):
        if is_available(port, host):
            return port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port
