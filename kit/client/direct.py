"""Unary calls whose first attempt is sent without the pipeline.

Theory of operation. The usual call is one attempt that succeeds: one endpoint, its breaker closed, nobody who collects.
The layers decide nothing for it; they only note. So grpc's call is started at once, and what the notes would be made
from is kept: the instants, the endpoint, the breaker's permit, one record for the two spans. The pipeline is entered
when there is something for it to do:

    the attempt failed        it runs with that attempt as its first one (`kit.pipeline.Begun`): retries, errors, report
    the caller gave up        likewise
    anything else is asked    a callback, the status, cancel(), a report: it is stepped up to grpc's call, as it would
                              have been when the call was made

Whatever is out of the ordinary before that, and every method with a layer that is not named in `ACCOUNTED`, goes
through the pipeline from the start. What comes out is the same; `tests/integration/client/test_direct.py` compares.
"""

from __future__ import annotations

import asyncio
import logging
import math
from bisect import bisect_left
from collections.abc import Callable, Generator
from typing import Any

import grpc
import grpc.aio

from kit.call import collect, expires_at, served_until
from kit.client._sent import with_headers
from kit.client.calls import UnaryUnaryCall
from kit.client.endpoints import Endpoints
from kit.client.guards import Home
from kit.clock import SYSTEM, Clock
from kit.layers import Allowances, Breakers
from kit.layers.allowance import Allowance
from kit.layers.breaker_facade import CircuitBreaker
from kit.observe import tracing
from kit.observe._state import STATE
from kit.observe.calls import ClientCalls, client_calls
from kit.observe.records import Pair, Plan
from kit.pipeline import Attempted, Begun, Call, Handler, Method, Pipeline, Shape
from kit.resilience.breaker import Permit
from kit.resilience.deadline import attempt_timeout, call_expiry
from kit.resilience.retry import StopReason

__all__ = ["ACCOUNTED", "NEVER", "Direct", "DirectCall", "Never", "direct"]

#: The layers whose part in a first attempt is played here.
ACCOUNTED = frozenset({"report", "trace call", "deadline", "retry", "balance", "breaker", "attempt", "trace attempt"})
_NOTHING: Any = object()
#: Addresses that something is kept for; names in DNS lead to other ones all the time.
_MAX_PLANS = 256
#: Seconds by which a timeout differs from itself once it has been an instant.
_ROUNDING = 1e-6

log = logging.getLogger("kit.client")


class Direct:
    """What is needed to send a first attempt of one method."""

    __slots__ = (
        "_allowed",
        "_breaker_of",
        "_connects_first",
        "_counts",
        "_home",
        "_per_try",
        "_plan",
        "_plans",
        "_running",
        "allowance",
        "clock",
        "handler",
        "method",
        "now",
    )

    def __init__(
        self,
        method: Method,
        handler: Handler,
        clock: Clock,
        breaker_of: Callable[[str], CircuitBreaker] | None,
        allowance: Allowance | None,
        home: Home | None = None,
    ) -> None:
        self.method = method
        self.handler = handler
        self.clock = clock
        self.now = clock.now
        self.allowance = allowance
        self._breaker_of = breaker_of
        self._running = asyncio._get_running_loop
        self._home = home
        self._connects_first = method.may_retry and not method.may_replay
        self._allowed = method.policy.timeout
        self._per_try = method.policy.per_try_timeout
        self._plan = tracing.call_plan(method.path, method.target)
        #: Of attempts, by the address that they go to.
        self._plans: dict[str, Plan] = {}
        self._counts: ClientCalls | None = None

    def send(
        self,
        endpoints: Endpoints,
        request: Any,
        timeout: float | None,
        metadata: Any,
        credentials: grpc.CallCredentials | None,
        wait_for_ready: bool | None,
        compression: grpc.Compression | None,
    ) -> DirectCall | None:
        """Sends to the only endpoint; None where the pipeline must see the call from the start."""
        if self._home is None or self._running() is not self._home.loop:
            return None
        known = endpoints.look()
        if len(known) != 1:
            return None
        endpoint = known[0]
        if not endpoints.still_there(endpoint):
            return None
        if self._connects_first and not wait_for_ready and not endpoint.is_ready():
            return None
        call = self.begin(timeout, endpoint, endpoint.address)
        if call is None:
            return None
        given = call.time_given
        pair = call.pair
        # What nobody gave is left out: grpc has a default for it.
        options: dict[str, Any] = {}
        if credentials is not None:
            options["credentials"] = credentials
        if wait_for_ready is not None:
            options["wait_for_ready"] = wait_for_ready
        if compression is not None:
            options["compression"] = compression
        stub = endpoint.stub(self.method)
        sent = metadata if pair is None else with_headers(metadata, tracing.headers(pair))
        call.first = stub(request, timeout=given if given != math.inf else None, metadata=sent, **options)
        call.asked = (request, timeout, metadata, credentials, wait_for_ready, compression)
        return call

    def begin(self, timeout: float | None, endpoint: Any, address: str) -> DirectCall | None:
        """The call, for grpc's own to be put in; None where the pipeline must see it from the start."""
        if collect() or log.isEnabledFor(logging.DEBUG):
            return None
        # The SDK's own spans are the layers' affair, and records count on the system's clock.
        if STATE.on and (STATE.tracer is not None or self.clock is not SYSTEM):
            return None
        started = self.now()
        inherited = expires_at()
        served = served_until() if inherited != math.inf else inherited
        expiry = call_expiry(started, inherited, self._allowed, timeout, served)
        if expiry <= started:
            return None
        call = DirectCall(self, started, expiry, endpoint)
        if self._breaker_of is not None:
            breaker = call.breaker = self._breaker_of(address)
            permit = call.permit = breaker.permit_if_closed(started)
            if permit is None:
                return None
        call.time_given = attempt_timeout(started, expiry, self._per_try)
        if self.allowance is not None:
            self.allowance.began()
        recorder = STATE.recorder
        if recorder is not None:
            attempted = self._plans.get(address)
            if attempted is None:
                if len(self._plans) >= _MAX_PLANS:
                    self._plans.clear()
                attempted = self._plans[address] = tracing.attempt_plan(self.method.path, 1, address)
            call.pair = recorder.paired(self._plan, attempted, started)
        if STATE.metrics:
            self.counts().attempts_started += 1
        return call

    def counts(self) -> ClientCalls:
        """Where calls of the method are counted."""
        if self._counts is None:
            self._counts = client_calls(self.method.path, self.method.target)
        return self._counts


class Never:
    """Stands where a `Direct` was, once a policy has come by which the pipeline must see every call."""

    def send(self, *_asked: object) -> None:
        """Nothing is sent."""


NEVER = Never()


def direct(
    pipeline: Pipeline,
    method: Method,
    handler: Handler,
    clock: Clock,
    breakers: Breakers,
    allowances: Allowances,
    home: Home | None = None,
) -> Direct | None:
    """How first attempts of the method are sent; None where its pipeline has more to do than is accounted for here."""
    if method.shape is not Shape.UNARY_UNARY or not ACCOUNTED.issuperset(pipeline.describe(method)):
        return None
    rules = method.policy.breaker
    breaker_of = None if rules is None else breakers.group(rules, method.service)
    return Direct(method, handler, clock, breaker_of, allowances.of(method), home)


class _Lazy:
    """The notes of a call that has not entered the pipeline: made, and the pipeline entered, when they are asked for.

    It gives way to the instance's own attribute, which is there from then on.
    """

    def __get__(self, instance: DirectCall | None, owner: type) -> Any:
        return self if instance is None else instance.enter()


class DirectCall(UnaryUnaryCall):
    """A unary call whose first attempt was sent at once."""

    _call: Call = _Lazy()  # type: ignore[assignment]  # see there
    _response: Any = _NOTHING
    _finished = 0.0
    _awaited = False
    #: What was asked for, as `Call` takes it, until it is known that it is not needed, or a `Call` has it: on a stock
    #: channel it leads back here, by grpc's call around ours.
    asked: tuple[Any, ...] = ()
    #: grpc's own call of the first attempt.
    first: Any = None
    breaker: CircuitBreaker | None = None
    permit: Permit | None = None
    #: Seconds that the attempt was given; infinite for no limit.
    time_given = math.inf
    #: The spans of the call and of its attempt, where calls are traced.
    pair: Pair | None = None

    def __init__(self, plan: Direct, started: float, expiry: float, endpoint: Any) -> None:
        self._plan = plan
        self._clock = plan.clock
        self._started = started
        self._expiry = expiry
        self._endpoint = endpoint

    def with_time(self, asked: Any) -> Any:
        """What a stock channel is asked for, with the time that the attempt is given, and the headers of its span."""
        if self.pair is not None:
            sent = (*(asked.metadata or ()), *tracing.headers(self.pair))
            asked = asked._replace(metadata=grpc.aio.Metadata(*sent))
        given = self.time_given if self.time_given != math.inf else None
        timeout = asked.timeout
        if given == timeout or (given is not None and timeout is not None and abs(given - timeout) < _ROUNDING):
            return asked
        return asked._replace(timeout=given)

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self._settled and "_call" not in self.__dict__:
            self._awaited = True
            try:
                response = yield from self.first.__await__()
            except asyncio.CancelledError as error:
                if "_call" in self.__dict__:
                    self.cancel()
                else:
                    self.enter()
                    if not self._settled:
                        self._throw(error)
                raise
            except Exception:  # noqa: BLE001, S110 - the pipeline finds it again, and it is the pipeline's to handle
                pass
            else:
                if "_call" not in self.__dict__:
                    # Another one who awaits it may have been first.
                    if not self._settled:
                        self._succeeded(response)
                    return response
            finally:
                self._awaited = False
            # Not while the error is being handled: the next one would keep it, and it the call.
            if "_call" not in self.__dict__:
                self.enter()
        return (yield from super().__await__())

    def _succeeded(self, response: Any) -> None:
        plan = self._plan
        self._response = response
        self._settled = True
        self.asked = (None,)
        self._finished = now = plan.now()
        if self.permit is not None:
            self.breaker.succeeded(self.permit, now)  # type: ignore[union-attr]  # they come together
        if plan.allowance is not None:
            plan.allowance.ended(0, ())
        if STATE.on:
            self._told(now)
        if self._callbacks:
            self._run_callbacks()

    def _told(self, now: float) -> None:
        """Ends the spans, and counts."""
        pair, recorder = self.pair, STATE.recorder
        seconds = now - self._started
        if pair is not None:
            pair.ended = now
            if recorder is not None:
                if pair.sampled:
                    recorder.take(pair)
                elif seconds > recorder.slower_than:
                    recorder.ended(pair)
        if STATE.metrics:
            counts = self._plan.counts()
            buckets = counts.ok
            index = bisect_left(buckets.bounds, seconds)
            buckets.counts[index] += 1
            buckets.sum += seconds
            attempts = counts.attempts_ok
            attempts.counts[index] += 1
            attempts.sum += seconds
            if pair is not None and pair.sampled:
                buckets.exemplars[index] = attempts.exemplars[index] = (seconds, pair)

    def done(self) -> bool:
        # A stock channel asks every call.
        if not self._settled and "_call" not in self.__dict__ and not self.first.done():
            return False
        return super().done()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """As grpc.aio's; a stock channel adds one to every call, so it is no reason to enter the pipeline."""
        if self._settled or "_call" in self.__dict__:
            super().add_done_callback(callback)
            return
        if self._callbacks is None:
            self._callbacks = [callback]
            # Which calls it at once where grpc's call has ended.
            self.first.add_done_callback(self._first_done)
        else:
            self._callbacks.append(callback)

    def _first_done(self, _: object) -> None:
        if self._settled or self._awaited or "_call" in self.__dict__:
            return
        self.enter()
        if not self._settled and not self._driving:
            self._drive_by_task()

    def _result(self) -> Any:
        return self._response if self._response is not _NOTHING else super()._result()

    def enter(self) -> Call:
        """Makes the notes and, unless the call has succeeded, steps the pipeline to where the call is."""
        plan = self._plan
        call = Call(plan.method, *self.asked)
        self.asked = (None,)
        # They held when the call was made.
        call.expires_at, call.collectors, call.started = self._expiry, (), self._started
        if self._response is _NOTHING:
            spanned = None
            if self.pair is not None:
                call.span, spanned = self.pair.records()
            call.begun = Begun(self.first, self._started, self._endpoint, self.breaker, self.permit, spanned)
            try:
                self._start(call, plan.handler, plan.clock)
            except (Exception, asyncio.CancelledError) as error:
                if self._settled:
                    raise  # a callback's
                # grpc's call is over, cancelled by the closing of the channel for instance.
                self._settle(None, error)
            return call
        self._call = call
        address = "" if self._endpoint is None else self._endpoint.address
        call.attempt = tried = Attempted(1, address, 0.0, self._started, self.time_given)
        tried.breaker = self.breaker
        tried.settle(grpc.StatusCode.OK, "", self._finished)
        call.attempts.append(tried)
        call.inner, call.endpoint = self.first, self._endpoint
        call.ended, call.code, call.stop = self._finished, grpc.StatusCode.OK, StopReason.OK
        return call
