"""A fault plan: what the endpoints of a simulation do to the calls that reach them, and when.

    endpoints = 3
    latency = "20ms"                                        # while no phase says otherwise

    [[phase]]                                               # phases follow one another
    duration = "30s"

    [[phase]]
    duration = "1m"
    errors = { UNAVAILABLE = 0.2, INTERNAL = 0.01 }         # shares of the attempts
    latency = { median = "20ms", p99 = "400ms" }            # lognormal; { low, high } is uniform; "20ms" is fixed
    pushback = "300ms"                                      # sent with every error; "never" asks for no retry
    endpoints = [0]                                         # only these are affected; without it all are

    [[outage]]                                              # beside the phases
    start = "40s"
    duration = "10s"
    endpoints = [1, 2]
    kind = "refused"                                        # or "silent": accepted, and answered after the outage

A phase without a duration holds until the simulation ends. After the last phase the plan's own latency holds, and
nothing fails but what an outage takes away. Times are numbers of seconds or "20ms", "1.5s", "2m", "1h".
"""

from __future__ import annotations

import enum
import math
import os
import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import grpc

from kit.errors import ConfigurationError
from kit.policy.times import A_TIME, seconds_of

__all__ = ["FaultPlan", "Fixed", "Latency", "Lognormal", "Outage", "OutageKind", "Phase", "Uniform", "load_plan"]

#: Standard deviations between the median and the 99th percentile of a normal distribution.
_P99 = 2.3263478740408408


def _need(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ConfigurationError(f"fault plan: {otherwise}")


class Latency(Protocol):
    """How long an attempt takes."""

    def sample(self, rng: random.Random) -> float:
        """Seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always the same."""

    seconds: float

    def __post_init__(self) -> None:
        _need(0 <= self.seconds < math.inf, f"a latency is a time of 0 or more, not {self.seconds}")

    def sample(self, rng: random.Random) -> float:
        return self.seconds


@dataclass(frozen=True, slots=True)
class Uniform:
    """Anything between the two, alike."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _need(0 <= self.low <= self.high < math.inf, f"a latency from {self.low} to {self.high} s is none")

    def sample(self, rng: random.Random) -> float:
        return rng.uniform(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """The shape that latencies of services have: most near the median, a few much longer."""

    median: float
    p99: float

    def __post_init__(self) -> None:
        _need(0 < self.median <= self.p99 < math.inf, f"median {self.median} s and p99 {self.p99} s do not fit")

    def sample(self, rng: random.Random) -> float:
        return self.median * math.exp(rng.gauss(0.0, 1.0) * math.log(self.p99 / self.median) / _P99)


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """What holds for a while."""

    #: Seconds; infinite for the rest of the simulation.
    duration: float = math.inf
    #: Share of the attempts, 0 to 1, that fail with a status.
    errors: Mapping[grpc.StatusCode, float] = field(default_factory=dict)
    #: None: the plan's.
    latency: Latency | None = None
    #: Seconds, sent with every error; a negative number asks for no retry.
    pushback: float | None = None
    #: Numbers of the endpoints that it holds for, from 0; None: all.
    endpoints: frozenset[int] | None = None

    def __post_init__(self) -> None:
        _need(self.duration > 0, f"phase: duration must be longer than 0, not {self.duration}")
        _need(all(0 <= share <= 1 for share in self.errors.values()), "phase: errors: a share is from 0 to 1")
        _need(math.fsum(self.errors.values()) <= 1 + 1e-9, "phase: errors: the shares are more than 1 together")
        _need(grpc.StatusCode.OK not in self.errors, "phase: errors: OK is not an error")
        _need(self.pushback is None or math.isfinite(self.pushback), "phase: pushback must be a time")


class OutageKind(enum.Enum):
    """How an endpoint is away."""

    #: Connections are refused, and those that are open break.
    REFUSED = "refused"
    #: Nothing is answered; what was sent is answered when the outage is over.
    SILENT = "silent"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outage:
    """Endpoints are away for a while. Times are seconds."""

    start: float
    duration: float
    #: None: all.
    endpoints: frozenset[int] | None = None
    kind: OutageKind = OutageKind.REFUSED

    def __post_init__(self) -> None:
        _need(self.start >= 0, f"outage: start must be 0 or more, not {self.start}")
        _need(0 < self.duration < math.inf, f"outage: duration must be longer than 0 and end, not {self.duration}")

    @property
    def end(self) -> float:
        """Seconds from the start of the simulation."""
        return self.start + self.duration


_QUIET = Phase()


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultPlan:
    """One endpoint that answers in 10 ms and never fails, unless it says otherwise. See the module."""

    endpoints: int = 1
    latency: Latency = field(default_factory=lambda: Fixed(0.01))
    phases: tuple[Phase, ...] = ()
    outages: tuple[Outage, ...] = ()

    def __post_init__(self) -> None:
        _need(self.endpoints >= 1, f"endpoints must be at least 1, not {self.endpoints}")
        listed = [phase.endpoints for phase in self.phases] + [outage.endpoints for outage in self.outages]
        for endpoints in listed:
            strange = sorted(number for number in endpoints or () if not 0 <= number < self.endpoints)
            _need(not strange, f"there is no endpoint {strange}; they are numbered from 0 to {self.endpoints - 1}")

    def phase_at(self, now: float, endpoint: int) -> Phase:
        """What holds for an endpoint."""
        begins = 0.0
        for phase in self.phases:
            begins += phase.duration
            if now < begins:
                return phase if phase.endpoints is None or endpoint in phase.endpoints else _QUIET
        return _QUIET

    def outages_of(self, endpoint: int, kind: OutageKind) -> tuple[Outage, ...]:
        """The outages of one kind that concern an endpoint, by their start."""
        found = (o for o in self.outages if o.kind is kind and (o.endpoints is None or endpoint in o.endpoints))
        return tuple(sorted(found, key=lambda outage: outage.start))


# From TOML.


def load_plan(path: str | os.PathLike[str]) -> FaultPlan:
    """Reads a plan from a TOML file. Raises ConfigurationError, naming what is wrong."""
    try:
        table = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not a TOML file: {error}") from error
    try:
        fields = _taken(table, "plan", endpoints=_whole, latency=_latency, phase=_phases, outage=_outages)
        return FaultPlan(**{_PLURALS.get(name, name): value for name, value in fields.items()})
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


_PLURALS = {"phase": "phases", "outage": "outages"}


def _taken(table: object, what: str, **readers: Any) -> dict[str, Any]:
    _need(isinstance(table, dict), f"{what}: must be a table")
    assert isinstance(table, dict)
    for name in table.keys() - readers.keys():
        _need(False, f"{what}: {name}: unknown; known are {', '.join(readers)}")
    return {name: readers[name](f"{what}: {name}", value) for name, value in table.items()}


def _phases(what: str, value: object) -> tuple[Phase, ...]:
    _need(isinstance(value, list), f"{what}: write [[phase]]")
    assert isinstance(value, list)
    readers = {
        "duration": _seconds,
        "errors": _errors,
        "latency": _latency,
        "pushback": _pushback,
        "endpoints": _numbers,
    }
    return tuple(Phase(**_taken(one, "phase", **readers)) for one in value)


def _outages(what: str, value: object) -> tuple[Outage, ...]:
    _need(isinstance(value, list), f"{what}: write [[outage]]")
    assert isinstance(value, list)
    found = [_taken(one, "outage", start=_seconds, duration=_seconds, endpoints=_numbers, kind=_kind) for one in value]
    for one in found:
        _need({"start", "duration"} <= one.keys(), "outage: start and duration must be given")
    return tuple(Outage(**one) for one in found)


def _seconds(what: str, value: object) -> float:
    found = seconds_of(value)
    if found is None:
        raise ConfigurationError(f"fault plan: {what}: {A_TIME}, not {value!r}")
    return found


def _whole(what: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(f"fault plan: {what}: a whole number, not {value!r}")
    return value


def _numbers(what: str, value: object) -> frozenset[int]:
    if not isinstance(value, list):
        raise ConfigurationError(f"fault plan: {what}: a list of numbers, not {value!r}")
    return frozenset(_whole(what, number) for number in value)


def _pushback(what: str, value: object) -> float:
    return -1.0 if value == "never" else _seconds(what, value)


def _kind(what: str, value: object) -> OutageKind:
    _need(value in ("refused", "silent"), f'{what}: "refused" or "silent", not {value!r}')
    return OutageKind(value)


def _errors(what: str, value: object) -> dict[grpc.StatusCode, float]:
    _need(isinstance(value, dict), f"{what}: write {{ UNAVAILABLE = 0.1 }}")
    assert isinstance(value, dict)
    for name in value:
        _need(name in grpc.StatusCode.__members__, f"{what}: {name} is no status code")
    return {grpc.StatusCode[name]: _seconds(f"{what}: {name}", share) for name, share in value.items()}


def _latency(what: str, value: object) -> Latency:
    if not isinstance(value, dict):
        return Fixed(_seconds(what, value))
    times = {name: _seconds(f"{what}: {name}", time) for name, time in value.items()}
    if times.keys() == {"low", "high"}:
        return Uniform(**times)
    if times.keys() == {"median", "p99"}:
        return Lognormal(**times)
    raise ConfigurationError(f"fault plan: {what}: a time, {{ low, high }} or {{ median, p99 }}")
