"""`simulate`: a policy against a fault plan, in virtual time.

What is simulated is what runs: the calls go through a real `kit.channel` with its stubs, layers, picks and machines;
only grpc's own sub-channels below it and the event loop's time are pretended. A layer that the channel gets is
simulated from then on.

Everything random comes from the seed, in three streams (the load, the faults, the kit's own jitter and picks), so that
two policies meet the same load. The same seed gives the same history, of which `digest` is the fingerprint; it may
change with the version of the kit or of Python.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import grpc.aio

from kit.call import report
from kit.client import Channel
from kit.errors import ConfigurationError
from kit.policy import PolicySource
from kit.policy.from_proto import find_method
from kit.testing._simulated import SimulatedChannel, World
from kit.testing.plan import FaultPlan, load_plan
from kit.testing.virtual_loop import LoopClock, run_virtually

__all__ = ["SIMULATED_METHOD", "Load", "SimulationResult", "simulate"]

#: What is called where no method is named; no descriptor declares it.
SIMULATED_METHOD = "/simulated.Service/Call"


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """How calls are made: at a rate, whatever comes of them, or by clients that each wait for their answer.

    Give one of the two.
    """

    #: Calls per second on average; they come at random (Poisson), as those of many independent callers do.
    rate: float | None = None
    #: Clients that call again as soon as they have their answer and have thought.
    clients: int | None = None
    #: Seconds between a client's answer and its next call.
    think: float = 0.0

    def __post_init__(self) -> None:
        if (self.rate is None) == (self.clients is None):
            raise ConfigurationError("load: give either a rate or a number of clients")
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise ConfigurationError(f"load: rate must be more than 0 calls per second, not {self.rate}")
        if self.clients is not None and self.clients < 1:
            raise ConfigurationError(f"load: clients must be at least 1, not {self.clients}")
        if not 0 <= self.think < math.inf:
            raise ConfigurationError(f"load: think must be a time of 0 or more, not {self.think}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulationResult:
    """What came of it. Times are virtual seconds; counters are by the most frequent first."""

    method: str
    seed: int
    calls: int
    succeeded: int
    #: Attempts that arrived at an endpoint; what was refused on the way there is not among them.
    attempts: int
    #: Seconds of every call as its caller saw them, sorted.
    latencies: tuple[float, ...] = field(repr=False)
    #: Number of attempts that arrived to the number of calls that had as many.
    attempts_histogram: Mapping[int, int]
    #: Name of the stop reason, as in a report, to the number of calls.
    stop_reasons: Mapping[str, int]
    #: Name of the status that the caller saw to the number of calls.
    codes: Mapping[str, int]
    #: From the start to the last answer.
    duration: float
    #: One line for every attempt and every call that ended, in order.
    history: tuple[str, ...] = field(repr=False)
    #: SHA-256 of the history.
    digest: str

    @property
    def success_rate(self) -> float:
        """From 0 to 1."""
        return self.succeeded / self.calls

    @property
    def amplification(self) -> float:
        """Attempts for each call."""
        return self.attempts / self.calls

    def latency(self, quantile: float) -> float:
        """The time within which this share (0 to 1) of the calls ended; of the failed ones as well."""
        if not 0 <= quantile <= 1:
            raise ValueError(f"a quantile is from 0 to 1, not {quantile}")
        return self.latencies[max(0, math.ceil(quantile * self.calls) - 1)]


def simulate(
    policy: PolicySource = None,
    plan: FaultPlan | str | os.PathLike[str] | None = None,
    *,
    load: Load | None = None,
    calls: int = 1000,
    seed: int = 0,
    method: str = SIMULATED_METHOD,
) -> SimulationResult:
    """Makes `calls` calls of `method` under `policy` to endpoints that behave by `plan`; takes no real time.

    `policy` is as for `kit.channel`; `method` is "/package.Service/Method", and what its descriptor declares counts.
    `plan` is a `FaultPlan` or the path of a TOML file; without one nothing fails. `load` is 100 calls per second
    without one. Methods with streams are not simulated.

    Raises ConfigurationError for what is wrong with a plan, load or policy (then a PolicyError), and UsageError inside
    a running event loop; from there use `await asyncio.to_thread(simulate, ...)`.
    """
    if calls < 1:
        raise ConfigurationError(f"calls must be at least 1, not {calls}")
    path = method if method.startswith("/") else f"/{method}"
    declared = find_method(path)
    if declared is not None and (declared.client_streaming or declared.server_streaming):
        raise ConfigurationError(f"{path} streams; only methods with one request and one answer are simulated")
    given = plan if isinstance(plan, FaultPlan) else FaultPlan() if plan is None else load_plan(plan)
    used = load if load is not None else Load(rate=100.0)
    return run_virtually(_Simulation(policy, given, used, calls, seed, path).run)


class _Simulation:
    def __init__(self, policy: PolicySource, plan: FaultPlan, load: Load, calls: int, seed: int, method: str) -> None:
        self._policy, self._load, self._calls, self._seed, self._method = policy, load, calls, seed, method
        # A simulation must be repeatable; nothing here is a secret.
        self._load_rng, faults, self._kit_rng = (random.Random(f"{seed} {name}") for name in ("load", "fault", "kit"))  # noqa: S311
        self._world = World(plan, faults, method)
        self._addresses = [f"endpoint-{number}:1" for number in range(plan.endpoints)]
        self._latencies: list[float] = []
        self._stops: Counter[str] = Counter()
        self._codes: Counter[str] = Counter()

    async def run(self, clock: LoopClock) -> SimulationResult:
        channel = Channel(self._addresses, policy=self._policy, clock=clock, rng=self._kit_rng, open_channel=self._open)
        async with channel:
            self._stub = channel.unary_unary(self._method)
            self._now = clock.now
            async with asyncio.TaskGroup() as group:
                if self._load.rate is not None:
                    for number in range(self._calls):
                        if number:
                            await asyncio.sleep(self._load_rng.expovariate(self._load.rate))
                        group.create_task(self._call(number))
                else:
                    numbers = iter(range(self._calls))
                    for _ in range(min(self._load.clients or 1, self._calls)):
                        group.create_task(self._client(numbers))
            return self._result(clock.now())

    def _open(self, address: str) -> grpc.aio.Channel:
        return SimulatedChannel(self._world, self._addresses.index(address))

    async def _client(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            await self._call(number)
            if self._load.think:
                await asyncio.sleep(self._load.think)

    async def _call(self, number: int) -> None:
        call = self._stub(number)
        code = "OK"
        try:
            await call
        except grpc.aio.AioRpcError as error:
            code = error.code().name
        seen = report(call)
        self._latencies.append(seen.duration)
        self._stops[seen.stop_reason] += 1
        self._codes[code] += 1
        took = round(seen.duration * 1e6)
        self._world.note(self._now(), "call", number, code, seen.stop_reason, len(seen.attempts), took)

    def _result(self, now: float) -> SimulationResult:
        arrived, history = self._world.arrived, self._world.history
        histogram = Counter(arrived.get(number, 0) for number in range(self._calls))
        return SimulationResult(
            method=self._method,
            seed=self._seed,
            calls=self._calls,
            succeeded=self._codes["OK"],
            attempts=sum(arrived.values()),
            latencies=tuple(sorted(self._latencies)),
            attempts_histogram=dict(sorted(histogram.items())),
            stop_reasons=dict(self._stops.most_common()),
            codes=dict(self._codes.most_common()),
            duration=now,
            history=tuple(history),
            digest=hashlib.sha256("\n".join(history).encode()).hexdigest(),
        )
