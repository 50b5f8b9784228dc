"""What is counted of calls: on the server by method and status, on the client by method, target and status.

The families follow OpenTelemetry (`rpc.*`) and gRPC's own conventions (`grpc.*`, gRFC A66 and A96). Both are told from
the same counts, so a call is counted once. Names of methods come from stubs and servicers; a method that nobody serves
is `other`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

import grpc

from kit.observe._instruments import DURATION_BOUNDS, MAX_SERIES, OTHER, Buckets, Exemplary, Family
from kit.observe._state import STATE

__all__ = ["ClientCalls", "ServerCalls", "client_calls", "count", "families", "server_calls", "unknown_method"]

_OK = grpc.StatusCode.OK
#: Further attempts of a call.
_FEW = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
_T = TypeVar("_T")
_Codes: TypeAlias = dict[grpc.StatusCode, Buckets]


class _Durations:
    """Durations by status. Success has a place of its own, which is found without hashing."""

    __slots__ = ("_by_code", "ok")

    def __init__(self) -> None:
        self.ok = Buckets(DURATION_BOUNDS)
        self._by_code: _Codes = {_OK: self.ok}

    def of(self, code: grpc.StatusCode) -> Buckets:
        """Those of calls that ended with the status."""
        if code is _OK:
            return self.ok
        found = self._by_code.get(code)
        if found is None:
            found = self._by_code.setdefault(code, Buckets(DURATION_BOUNDS))
        return found

    def readings(self) -> Iterable[tuple[str, Buckets]]:
        """Those that have any."""
        return [(code.name, found) for code, found in list(self._by_code.items()) if any(found.counts)]


class ServerCalls:
    """What is counted of one method that is served."""

    __slots__ = ("durations", "method", "ok", "started")

    def __init__(self, method: str) -> None:
        self.method = method
        self.started = 0
        self.durations = _Durations()
        self.ok = self.durations.ok


class ClientCalls:
    """What is counted of one method that is called at one target."""

    __slots__ = ("attempts", "attempts_ok", "attempts_started", "calls", "hedges", "method", "ok", "retries", "target")

    def __init__(self, method: str, target: str) -> None:
        self.method = method
        self.target = target
        self.calls = _Durations()
        self.ok = self.calls.ok
        self.attempts = _Durations()
        self.attempts_ok = self.attempts.ok
        self.attempts_started = 0
        #: Of calls that had any.
        self.retries = Buckets(_FEW)
        self.hedges = Buckets(_FEW)

    def ended(
        self, code: grpc.StatusCode, seconds: float, example: Exemplary | None, *, retries: int, hedges: int
    ) -> None:
        """Counts a call."""
        self.calls.of(code).record(seconds, example)
        if retries > 0:
            self.retries.record(retries)
        if hedges > 0:
            self.hedges.record(hedges)


_lock = threading.Lock()
_served: dict[str, ServerCalls] = {}
_called: dict[tuple[str, str], ClientCalls] = {}


def server_calls(path: str) -> ServerCalls:
    """Where calls of a method are counted that is served. `path` is "/package.Service/Method"."""
    name = path.removeprefix("/")
    return _kept(_served, name, lambda: ServerCalls(name), OTHER, lambda: ServerCalls(OTHER))


def client_calls(path: str, target: str) -> ClientCalls:
    """Where calls of a method at a target are counted."""
    name = path.removeprefix("/")
    return _kept(
        _called, (name, target), lambda: ClientCalls(name, target), (OTHER, OTHER), lambda: ClientCalls(OTHER, OTHER)
    )


def _kept(known: dict[Any, _T], key: object, make: Callable[[], _T], other: object, make_other: Callable[[], _T]) -> _T:
    with _lock:
        found = known.get(key)
        if found is not None:
            return found
        if len(known) >= MAX_SERIES:
            key, make = other, make_other
        return known.setdefault(key, make())


def unknown_method() -> None:
    """A call came for a method that is not served."""
    if STATE.metrics:
        with _lock:
            other = _served.setdefault(OTHER, ServerCalls(OTHER))
        other.started += 1
        other.durations.of(grpc.StatusCode.UNIMPLEMENTED).record(0.0)


def count(on: bool) -> None:
    """Turns counting on or off."""
    STATE.count(on)


def families() -> Iterable[Family]:
    """What has been counted, for `kit.observe.metrics`."""
    with _lock:
        served, called = list(_served.values()), list(_called.values())
    yield _histogram(
        "rpc.server.call.duration",
        "Duration of calls that were served.",
        (({"rpc.method": one.method}, one.durations) for one in served),
        "rpc.response.status_code",
    )
    yield _histogram(
        "grpc.server.call.duration",
        "The same as rpc.server.call.duration, under gRPC's own name.",
        (({"grpc.method": one.method}, one.durations) for one in served),
        "grpc.status",
    )
    yield _counter(
        "grpc.server.call.started",
        "Calls that were begun to be served.",
        (({"grpc.method": one.method}, one.started) for one in served),
    )
    yield _histogram(
        "rpc.client.call.duration",
        "Duration of calls, their retries and pauses included.",
        (({"rpc.method": one.method, "server.address": one.target}, one.calls) for one in called),
        "rpc.response.status_code",
    )
    yield _histogram(
        "grpc.client.attempt.duration",
        "Duration of single attempts of calls.",
        (({"grpc.method": one.method, "grpc.target": one.target}, one.attempts) for one in called),
        "grpc.status",
    )
    yield _counter(
        "grpc.client.attempt.started",
        "Attempts of calls that were begun.",
        (({"grpc.method": one.method, "grpc.target": one.target}, one.attempts_started) for one in called),
    )
    for name, what, found in (
        ("retries", "Retries of calls that had any.", [(one, one.retries) for one in called]),
        ("hedges", "Hedges of calls that had any.", [(one, one.hedges) for one in called]),
    ):
        series = [
            buckets.reading({"grpc.method": one.method, "grpc.target": one.target})
            for one, buckets in found
            if any(buckets.counts)
        ]
        yield {
            "name": f"grpc.client.call.{name}",
            "kind": "histogram",
            "help": what,
            "unit": "",
            "bounds": list(_FEW),
            "series": series,
        }


def _histogram(
    name: str, what: str, found: Iterable[tuple[Mapping[str, str], _Durations]], status: str
) -> dict[str, Any]:
    series = [
        buckets.reading({**labels, status: code})
        for labels, durations in found
        for code, buckets in durations.readings()
    ]
    return {
        "name": name,
        "kind": "histogram",
        "help": what,
        "unit": "s",
        "bounds": list(DURATION_BOUNDS),
        "series": series,
    }


def _counter(name: str, what: str, found: Iterable[tuple[Mapping[str, str], int]]) -> dict[str, Any]:
    series = [{"labels": dict(labels), "value": value} for labels, value in found if value]
    return {"name": name, "kind": "counter", "help": what, "unit": "", "series": series}
