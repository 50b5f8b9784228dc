"""A grpc.aio server with what every service needs: the kit's layers, health, reflection, registration, drain.

How it stops: every health name but liveness turns NOT_SERVING and the registry entry goes; a pause (`drain_delay`)
lets balancers see it while calls are still taken; then connections are told to go and no call is taken any more
(`_drain`), Watch streams end, and calls in flight have `grace` seconds; what is left is cancelled, and its `finally` is
waited for; background tasks end; the `on_stop` functions run, the last one added first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal, Self

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from kit.discovery import Registration, Registry
from kit.errors import ConfigurationError, UsageError
from kit.health import WithHealth
from kit.observe import get_logger
from kit.policy import PolicySource, Resolved
from kit.recovery.stopping import StopRequest
from kit.resilience.admission_rules import Admission
from kit.server._access import AccessLog
from kit.server._admit import AdmitLayer
from kit.server._call import ServerMethod
from kit.server._drain import CLEANUP_TIMEOUT, SETTLE, first_of, stop_calls
from kit.server._errors import ErrorRules
from kit.server._inflight import InFlight
from kit.server._interceptor import KitServerInterceptor
from kit.server._limit import Limit
from kit.server._limits import ConnectionLimits
from kit.server._metered import Metered
from kit.server._ops import Ops, tell_drain, tell_started
from kit.server._options import server_options
from kit.server._pipeline import server_pipeline
from kit.server._recorder import Recorder
from kit.server._security import Security
from kit.server._service import GrpcServer
from kit.server._tls import ServerTls
from kit.server._worker import processes
from kit.server.auth import Authenticator
from kit.server.idempotency._source import Deduplication, StoreSource

log = get_logger("kit.server")

#: Seconds of grace when the parent process is gone: nobody waits for the answers.
ORPHAN_GRACE = 1.0

AsyncFunction = Callable[[], Awaitable[object]]


class Server(WithHealth):
    """One service process. Add servicers and hooks, then `await serve()`; or `start()` and `stop()` by hand."""

    def __init__(
        self,
        name: str,
        *,
        policy: PolicySource = None,
        authenticators: Sequence[Authenticator] = (),
        tls: ServerTls | None = None,
        audit: bool | None = None,
        insecure_ignore_auth: bool | None = None,
        limits: ConnectionLimits | None = None,
        idempotency: StoreSource = None,
        admission: Admission | None = Admission(),  # noqa: B008 - frozen
        validate: bool = True,
        errors: ErrorRules | None = None,
        access_log: AccessLog | bool | None = None,
        listen: str | None = None,
        register: bool | None = None,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        drain_delay: float | None = None,
        grace: float | None = None,
        max_connection_age: float | None = None,
        options: Sequence[tuple[str, Any]] = (),
        registry: Registry | None = None,
        weight: float = 1.0,
        health_listen: str | None = None,
        metrics_listen: str | None = None,
        single_process: str = "",
        admin: bool | Literal["write"] | None = None,
    ) -> None:
        """`name` is the name in the local registry and in telemetry. `policy` is as for `kit.channel`: None takes what
        the descriptors say.

        What is None comes from the environment: `listen` from KIT_LISTEN ("127.0.0.1:0"), `register` from KIT_REGISTER
        (yes on loopback), `drain_delay` from KIT_DRAIN_DELAY (0 s), `grace` from KIT_GRACE (10 s), `max_connection_age`
        from KIT_MAX_CONNECTION_AGE (1800 s; 0 for no limit). `interceptors` come inside the kit's. `options` are grpc
        core's and win over the kit's own. `weight` is this process's share of the calls where clients balance by
        weight. `health_listen` is where grpc.health.v1 is answered too, in plain
        text and from the beginning of the start on; None means KIT_HEALTH_LISTEN, and "" nowhere. `metrics_listen` is
        where Prometheus reads metrics, at /metrics over HTTP; None means KIT_METRICS_LISTEN, and "" nowhere. Raises
        ConfigurationError.

        `authenticators` know who calls: with them every method that is not public needs somebody whom one of them
        knows; without them a server does not start that serves methods with `auth` in their policy.
        `insecure_ignore_auth` serves everybody all the same; None means KIT_AUTH=off, on loopback only. `audit` writes
        a line for each call that may change something; None is yes where there are authenticators. `tls` are the
        server's certificates, and `limits` what a connection may cost. `admission` is how the server protects itself
        from more calls than it can answer; with None it takes them all.

        `validate` holds requests against the rules of buf.validate in their .proto. `errors` says what the domain's own
        exceptions are to a caller: a class of `kit.errors` that gets the exception's text, or a function that makes one
        of the exception. `access_log` writes a line for each call; None means KIT_LOG_ACCESS, which is off if not set.

        `idempotency` is where the keys of methods that declare them are kept: the URL of a database ("sqlite:////path",
        "postgresql://user@host/name"), a store of `kit.server.idempotency`, or False where the handlers deduplicate
        themselves. None means KIT_IDEMPOTENCY, and without it a SQLite file in the data folder, on loopback only.

        `single_process` says why there must be one process of this server only, where that is so: it cannot be run with
        several workers then (`kit.run`).

        `admin` is whether the server tells of itself by `kitapi.v1.OpsService` on its own port (`kit.ops.access`): None
        is what KIT_ADMIN says (1 or 0), or else where only this machine can ask, or callers are known. True is
        everywhere, False nowhere; "write" lets anybody on loopback set breakers, who else needs the scope "ops.write".
        """
        super().__init__(health_listen=health_listen)
        self.name = name
        self._options = server_options(
            listen=listen,
            register=register,
            drain_delay=drain_delay,
            grace=grace,
            max_connection_age=max_connection_age,
            limits=ConnectionLimits() if limits is None else limits,
            options=options,
        )
        self._security = Security(
            tls=tls,
            authenticators=authenticators,
            insecure_ignore_auth=insecure_ignore_auth,
            audit=audit,
            loopback=self._options.loopback,
        )
        self._ops = Ops(self, admin, self._security, loopback=self._options.loopback)
        self._interceptors = tuple(interceptors)
        self._registry = registry
        self._weight = weight
        self._single_process = single_process
        self._recorder = Recorder()
        self._on_start: list[AsyncFunction] = []
        self._on_stop: list[AsyncFunction] = []
        self._task_functions: list[tuple[str, AsyncFunction]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._in_flight = InFlight()
        self._metered = Metered(name, self._in_flight, metrics_listen)
        self._admit = AdmitLayer(admission)
        self._in_flight.on_drain.append(self._admit.stop)
        self._deduplication = Deduplication(idempotency, name=name, loopback=self._options.loopback)
        self._pipeline = server_pipeline(
            policy=policy,
            in_flight=self._in_flight,
            admit=self._admit,
            deduplicate=self._deduplication.layer,
            access=access_log,
            validate=validate,
            errors=errors,
            **self._security.layers,
        )
        self._grpc: grpc.aio.Server | None = None
        self._registration: Registration | None = None
        self._port = 0
        self._begun = False
        self._stopping: asyncio.Task[None] | None = None
        self._crashed = asyncio.Event()
        self._hastened = asyncio.Event()

    # What is put in

    def add(self, servicer: object, add_to_server: Callable[[Any, Any], object]) -> Self:
        """Serves `servicer`; `add_to_server` is the generated `add_XServicer_to_server`. Before the start only."""
        self._check_not_begun()
        add_to_server(servicer, self._recorder)
        return self

    def on_start(self, function: AsyncFunction) -> Self:
        """Awaited, in order, before the port opens. If one raises, the server does not start."""
        self._check_not_begun()
        self._on_start.append(function)
        return self

    def on_stop(self, function: AsyncFunction) -> Self:
        """Awaited in reverse order after the last handler ended, also when the start failed. An error is logged."""
        self._on_stop.append(function)
        return self

    def task(self, name: str, function: AsyncFunction) -> Self:
        """Runs `function` beside the calls; the stop cancels it. If it raises, `serve` stops and returns 1."""
        self._check_not_begun()
        self._task_functions.append((name, function))
        return self

    # What can be asked

    @property
    def services(self) -> tuple[str, ...]:
        """Full names of the services that were added."""
        return tuple(self._recorder.services)

    @property
    def port(self) -> int:
        """The port that is listened on; UsageError before the start."""
        if not self._port:
            raise UsageError(f"the server {self.name} is not started")
        return self._port

    @property
    def address(self) -> str:
        """ "host:port" that clients on this machine dial; UsageError before the start."""
        return self._options.advertised(self.port)

    @property
    def metrics_port(self) -> int:
        """The port that metrics are given out at; 0 where there is none."""
        return self._metered.port

    @property
    def in_flight(self) -> int:
        """Calls whose handlers run now."""
        return len(self._in_flight)

    @property
    def instance_id(self) -> str:
        """What this process is called in the local registry; "" where it is not registered."""
        return "" if self._registration is None else self._registration.instance.instance_id

    @property
    def draining(self) -> bool:
        """Whether the stop has begun."""
        return self._stopping is not None

    def limits(self) -> list[Limit]:
        """What the server limits, how much of it is in use, and what was refused for it."""
        return self._admit.limits()

    # Its life

    async def serve(self) -> int:
        """Starts, runs until SIGTERM, SIGINT or the end of the parent process, stops, and returns the exit code.

        0 after a stop that was asked for, 1 after a background task crashed. Raises what the start raises.
        """
        kill_after = self._options.grace + 2 * CLEANUP_TIMEOUT
        with StopRequest(kill_after=kill_after) as stop:
            starting = asyncio.ensure_future(self.start())
            await first_of(starting, stop.requested)
            if not starting.done():
                starting.cancel()
                await asyncio.wait([starting])
                return 0
            starting.result()
            await first_of(stop.requested, self._crashed)
            log.info("stopping", reason=stop.reason or "a background task crashed", in_flight=self.in_flight)
            orphan = stop.parent_gone
            stopping = asyncio.ensure_future(
                self.stop(min(self._options.grace, ORPHAN_GRACE), drain_delay=0) if orphan else self.stop(settle=SETTLE)
            )
            await first_of(stopping, stop.hastened)
            if not stopping.done():
                log.info("hastening the stop", in_flight=self.in_flight)
                self.hasten()
            await stopping
        log.info("stopped")
        return 1 if self._crashed.is_set() else 0

    async def start(self) -> int:
        """Runs `on_start`, opens the port, starts the tasks, registers, turns SERVING; returns the port.

        Readiness follows when warm-ups have ended and what is required has been found well; nothing waits for it here.
        """
        self._check_not_begun()
        self._begun = True
        try:
            methods = self._methods()
            self._security.check(methods)
            self._deduplication.check(methods, processes=processes())
            self._pipeline.check(methods)
            self._pipeline.policies.test = self._test
            await self._vitals.begin(self.services)
            await self._deduplication.start()
            await self._metered.start()
            for function in self._on_start:
                await function()
            self._grpc = self._build()
            # In a context of its own: the starter's deadline, span and reports are not those of the calls.
            await asyncio.create_task(self._grpc.start(), context=Context())
            if self._security.certificates is not None:
                self._task_functions.append(("certificates", self._security.certificates.follow))
            self._tasks = [
                asyncio.create_task(self._run(*task), name=task[0], context=Context()) for task in self._task_functions
            ]
            if self._options.register:
                registry = Registry() if self._registry is None else self._registry
                metadata = {"services": ",".join(self.services)}
                self._registration = registry.register(self.name, self.address, metadata=metadata, weight=self._weight)
        except BaseException:
            await self.stop(0, drain_delay=0)
            raise
        self._vitals.started()
        tell_started(self)
        log.info("serving", address=self.address, services=self.services)
        return self._port

    async def stop(self, grace: float | None = None, *, drain_delay: float | None = None, settle: float = 0.0) -> None:
        """Drains and stops, as the module says; None: the server's own seconds. A second call awaits the first.

        With `settle`, as `serve` has it, connections are told to go only when no call has come for a moment, or after
        so many seconds, which makes sure that none is lost (`_drain`).
        """
        if self._stopping is None:
            self._begun = True
            self._stopping = asyncio.create_task(
                self._stop(
                    self._options.grace if grace is None else grace,
                    self._options.drain_delay if drain_delay is None else drain_delay,
                    settle,
                )
            )
        await asyncio.shield(self._stopping)

    def hasten(self) -> None:
        """Cuts a stop short: no pause, and calls in flight are cancelled now. Their `finally` is waited for."""
        self._hastened.set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.stop()

    # Inside

    def _check_not_begun(self) -> None:
        if self._begun:
            raise UsageError(f"the server {self.name} has been started already")

    def _methods(self) -> list[ServerMethod]:
        return [self._pipeline.method(rpc, path) for path, rpc in self._recorder.methods()]

    def _test(self, policy_of: Callable[[str], Resolved]) -> None:
        """Raises ConfigurationError for policies with which the running server could not serve what it serves."""
        served = self._recorder.methods()
        self._deduplication.check_running([self._pipeline.method(rpc, path, policy_of(path)) for path, rpc in served])

    def _build(self) -> grpc.aio.Server:
        kit = KitServerInterceptor(self._pipeline)
        server = GrpcServer(kit, interceptors=self._interceptors, options=self._options.channel)
        self._recorder.replay(server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        offered = self._ops.add_to(server, self._pipeline, self._recorder, self._registry)
        reflection.enable_server_reflection([*self.services, *offered, health_name, reflection.SERVICE_NAME], server)
        listen = self._options.listen
        try:
            self._port = self._security.listen(server, listen)
        except RuntimeError as error:
            raise ConfigurationError(f"{self.name} cannot listen on {listen}; is the port taken?") from error
        return server

    def _check_shareable(self, workers: int) -> None:
        """Raises ConfigurationError where so many processes like this one cannot serve together."""
        if self._single_process:
            raise ConfigurationError(
                f"{self.name} cannot have {workers} workers: {self._single_process}; run it with one"
            )
        self._deduplication.check(self._methods(), processes=workers)
        self._vitals.share_port()

    def _share_port(self, port: int) -> None:
        """Listens on `port` together with other processes; who started them has registered it."""
        host = self._options.listen.rpartition(":")[0]
        channel = tuple(option for option in self._options.channel if option[0] != "grpc.so_reuseport")
        self._options = replace(
            self._options, listen=f"{host}:{port}", register=False, channel=(*channel, ("grpc.so_reuseport", 1))
        )
        self._vitals.share_port()
        self._metered.leave_to_parent()

    async def _run(self, name: str, function: AsyncFunction) -> None:
        try:
            await function()
        except Exception:
            log.exception("a background task crashed", task=name)
            self._vitals.drain()
            self._crashed.set()

    async def _stop(self, grace: float, delay: float, settle: float) -> None:
        self._vitals.drain()
        if self._port:
            tell_drain(self)
        if self._registration is not None:
            self._registration.close()
        if self._grpc is not None:
            await stop_calls(
                self._grpc, self.health, self._in_flight, self._hastened, delay=delay, settle=settle, grace=grace
            )
        await _cancel(self._tasks)
        await self._deduplication.stop()
        await self._vitals.stop()
        await self._metered.stop()
        for function in reversed(self._on_stop):
            try:
                await function()
            except Exception:
                log.exception("an on_stop function failed")
        await self._vitals.close()


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        _, left = await asyncio.wait(tasks, timeout=CLEANUP_TIMEOUT)
        for task in left:
            log.warning("a background task did not end after it was cancelled", task=task.get_name())
