"""The ASGI application: one request from its first byte to its log line.

guard (Host, Origin) > pages, health | trace > route > limit > bind > forward; problems and the access log around all
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from opentelemetry import trace

import kit
from gateway import pages
from gateway.config import Config
from gateway.exchange import ClientGoneError, Exchange, Receive, Scope, Send
from gateway.expose import exposed
from gateway.forward import BrokenStreamError, Call, Streams, forward_stream, forward_unary
from gateway.guard import Guard
from gateway.headers import check_encoding, check_json_type, check_raw_type, idempotency_key_of, timeout_of
from gateway.health import Readiness
from gateway.problem import Problem, RefusedError, of_status_error, refused, to_json
from gateway.ratelimit import Limiter, identity_of
from gateway.record import begin_span, count, end_span, write_access
from gateway.transcode.accept import Form, choose
from gateway.transcode.body import parse
from gateway.transcode.routes import Route, Rpc, compile_routes
from gateway.upload import forward_upload
from gateway.upstream import OpenChannel, Upstreams
from kit.errors import StatusError
from kit.observe import get_logger, metrics, tracing

__all__ = ["Gateway"]

log = get_logger("gateway")


class Gateway:
    """An ASGI 3 application. Its routes are compiled here; its channels are opened by the lifespan's startup.

    `port` is the one that is listened on, for the check of Host. Raises ConfigurationError.
    """

    def __init__(
        self,
        config: Config,
        *,
        port: int | None = None,
        open_channel: OpenChannel = kit.channel,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._now = now
        self._router = compile_routes(exposed(config))
        self._pages: Mapping[str, pages.Page] = pages.console() if config.console else {}
        self._guard = Guard(
            config.host,
            config.port if port is None else port,
            hosts=config.allowed_hosts,
            origins=config.allowed_origins,
        )
        self._limiter = Limiter(config.limit) if config.limit.rate > 0 else None
        self.upstreams = Upstreams({service.name: service.target for service in config.services}, open_channel)
        required = frozenset(service.name for service in config.services if service.required)
        self.readiness = Readiness(self.upstreams, required, now)
        self.streams = Streams()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(Exchange(scope, receive, send))
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    self.upstreams.open()
                except kit.errors.ConfigurationError as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.upstreams.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, exchange: Exchange) -> None:
        began = self._now()
        span: trace.Span = trace.INVALID_SPAN
        try:
            self._guard.check(exchange.header(b"host"), _optional(exchange, b"origin"))
            if not await self._fixed(exchange):
                span = begin_span(exchange)
                with tracing.current(span):
                    await self._api(exchange)
        except ClientGoneError:
            exchange.gone()
        except RefusedError as error:
            await exchange.refuse(error.problem)
        except StatusError as error:
            await exchange.refuse(of_status_error(error))
        except BrokenStreamError as error:
            # Not completing the answer makes the server close the connection, which is all that can be said now.
            log.warning("a stream broke", detail=error.problem.detail, request_id=exchange.request_id)
        except Exception:
            log.exception("a request failed", request_id=exchange.request_id, path=exchange.path)
            if exchange.started:
                raise
            await exchange.refuse(_defect(exchange.request_id))
        finally:
            end_span(span, exchange)
            seconds = self._now() - began
            count(exchange, seconds)
            if self._config.access_log:
                write_access(exchange, seconds, span)

    async def _fixed(self, exchange: Exchange) -> bool:
        """Answers what is not the API: the console, the health checks and the metrics."""
        path = exchange.path
        page = self._pages.get(path)
        if page is None and path not in {"/livez", "/readyz", "/metrics"}:
            return False
        exchange.route = f"GET {path}"
        if exchange.method not in {"GET", "HEAD"}:
            raise _wrong_method(exchange, ("GET", "HEAD"))
        if page is not None:
            await pages.answer(exchange, page)
            return True
        if path == "/metrics":
            await exchange.answer(200, metrics.exposition(), (b"content-type", metrics.CONTENT_TYPE.encode()))
            return True
        ready, document = (True, {"status": "live"}) if path == "/livez" else await self.readiness.check()
        await exchange.answer(
            200 if ready else 503,
            to_json(document),
            (b"content-type", b"application/json"),
            (b"cache-control", b"no-store"),
        )
        return True

    async def _api(self, exchange: Exchange) -> None:
        # HEAD is GET without the body (RFC 9110, 9.3.2); the server leaves the body out.
        found = self._router.find("GET" if exchange.method == "HEAD" else exchange.method, exchange.path)
        route = found.route
        form = None
        if route is not None:
            exchange.route = route.name
            form = choose(exchange.header(b"accept"), route.forms)
        rpc = None if route is None else route.stream if form in {Form.NDJSON, Form.SSE} else route.rpc
        self._limit(exchange, 1 if rpc is None else rpc.cost)
        if route is None or rpc is None:
            if found.allowed:
                raise _wrong_method(exchange, (*found.allowed, *(("HEAD",) if "GET" in found.allowed else ())))
            raise refused(404, grpc.StatusCode.NOT_FOUND, "NO_ROUTE", f"There is nothing at {exchange.path[:200]}.")
        if form is None and rpc.raw:
            # What type its bytes have is known only when they come.
            form = route.forms[0]
        if form is None:
            offered = ", ".join(one.value for one in route.forms)
            raise refused(
                406, grpc.StatusCode.INVALID_ARGUMENT, "NOT_ACCEPTABLE", f"This is offered as {offered} only."
            )
        request: Any = rpc.request()
        if route.json_body is not None:
            document = await self._document(exchange, route)
            if document is not None:
                route.json_body.bind(request, document[0])
        route.binder.bind_path(request, found.segments)
        route.binder.bind_query(request, exchange.query)
        call = Call(
            rpc=rpc,
            route=route,
            make=self.upstreams.callable(rpc),
            request=request,
            metadata=_metadata(exchange, rpc),
            timeout=timeout_of(exchange),
        )
        await self._forward(exchange, call, form)

    async def _forward(self, exchange: Exchange, call: Call, form: Form) -> None:
        config = self._config
        if call.rpc.client_streaming:
            check_raw_type(exchange)
            check_encoding(exchange)
            exchange.check_length(config.max_upload_bytes)
            await forward_upload(exchange, call, limit=config.max_upload_bytes, idle=config.upload_idle)
            return
        if call.route.raw_body is not None:
            check_encoding(exchange)
            content: Any = call.request if not call.route.raw_body else getattr(call.request, call.route.raw_body)
            content.content_type = exchange.header(b"content-type") or "application/octet-stream"
            content.data = await exchange.body(config.max_body_bytes)
        if call.rpc.server_streaming:
            await forward_stream(exchange, call, form, self.streams, heartbeat=config.heartbeat)
        else:
            await forward_unary(exchange, call)

    def _limit(self, exchange: Exchange, cost: int) -> None:
        if self._limiter is None:
            return
        decision = self._limiter.take(identity_of(exchange.client), cost, self._now())
        exchange.extra_headers += decision.headers(self._limiter.limit)
        if not decision.allowed:
            raise RefusedError(decision.problem())

    async def _document(self, exchange: Exchange, route: Route) -> tuple[Any] | None:
        """The parsed body in a tuple of one; None when there is none, and {} where all is optional in it."""
        check_encoding(exchange)
        raw = await exchange.body(self._config.max_body_bytes)
        if not raw.strip():
            return ({},) if route.body == "*" else None
        check_json_type(exchange)
        return (parse(raw),)


def _metadata(exchange: Exchange, rpc: Rpc) -> tuple[tuple[str, str], ...]:
    """What is passed on beside the message."""
    key = idempotency_key_of(exchange, rpc.key)
    return (("x-request-id", exchange.request_id), *((("idempotency-key", key),) if key else ()))


def _optional(exchange: Exchange, name: bytes) -> str | None:
    return exchange.header(name) if name in exchange.headers else None


def _wrong_method(exchange: Exchange, allowed: tuple[str, ...]) -> RefusedError:
    names = ", ".join(sorted(allowed))
    return refused(
        405,
        grpc.StatusCode.UNIMPLEMENTED,
        "METHOD_NOT_ALLOWED",
        f"{exchange.method} cannot be used here; {names} can.",
        headers=((b"allow", names.encode()),),
    )


def _defect(request_id: str) -> Problem:
    return Problem(
        status=500,
        code="INTERNAL",
        detail=f"The gateway failed on this request. Its log knows more under {request_id}.",
    )
