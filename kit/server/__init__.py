"""The server side: `Server`, the interceptors for a stock grpc.aio server, and `run`.

What a handler may raise stands in `kit.errors`; what a server says of its health in `kit.health`.
"""

from kit.server._access import AccessLog
from kit.server._call import ServerCall
from kit.server._inflight import unless_draining
from kit.server._interceptor import server_interceptors
from kit.server._limits import ConnectionLimits
from kit.server._run import run
from kit.server._tls import ServerTls
from kit.server.server import Server

__all__ = [
    "AccessLog",
    "ConnectionLimits",
    "Server",
    "ServerCall",
    "ServerTls",
    "run",
    "server_interceptors",
    "unless_draining",
]
