"""The server side: `Server`, the interceptors for a stock grpc.aio server, and `run`.

What a handler may raise stands in `kit.errors`; what a server says of its health in `kit.health`.
"""

from kit.server._inflight import unless_draining
from kit.server._interceptor import server_interceptors
from kit.server._run import run
from kit.server.server import Server

__all__ = ["Server", "run", "server_interceptors", "unless_draining"]
