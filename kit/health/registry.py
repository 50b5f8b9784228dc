"""The components of one process, each checked in the background; whoever asks is told what is known already.

A probe that asks thirty dependencies is slow when they are, and many probes are many calls. So checks run in tasks of
their own, at intervals, and what they have found is all that a probe reads.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextvars import Context

import grpc.aio

from kit.callbacks import Listeners
from kit.clock import SYSTEM, Clock
from kit.errors import ConfigurationError, UsageError
from kit.health._component import CheckFunction, Component
from kit.health.events import HealthChanged, HealthEvent, LatencyAnomaly
from kit.health.result import Finding, HealthLayer, HealthResult, worst
from kit.resilience.debounce import Debounce, DebounceRules
from kit.resilience.detector import Step
from kit.resilience.pulse import Health, HealthCheck

__all__ = ["HealthRegistry"]


class HealthRegistry:
    """Components by name. Add them at any time; they are checked from `start` to `close`."""

    def __init__(
        self,
        *,
        debounce: DebounceRules | None = None,
        clock: Clock = SYSTEM,
        random: Callable[[], float] = random.random,
    ) -> None:
        """`debounce` says how long a status lasts before listeners are told of it: a second. What `ready` and
        `results` say is never held back.
        """
        self._clock = clock
        self._random = random
        self._components: dict[str, Component] = {}
        self._known: dict[str, tuple[Callable[[], Finding], HealthLayer]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._listeners: Listeners[HealthEvent] = Listeners("kit.health")
        self._debounce: Debounce[Health] = Debounce(debounce)
        self._noted = asyncio.Event()
        self._teller: asyncio.Task[None] | None = None
        self._started = False
        #: Called after every check that counts, at once; for whoever keeps a status by it.
        self.on_check: Callable[[], None] = lambda: None

    def add(
        self,
        name: str,
        check: CheckFunction | str | grpc.aio.Channel,
        *,
        required: bool = True,
        layer: HealthLayer | None = None,
        every: float = 30.0,
        timeout: float = 5.0,
        slow: float = 1.0,
    ) -> None:
        """Checks a component from now on, or from `start` on.

        `check` is an async function (see `kit.health.Finding` for what it may return; what it raises is a failure), or
        a target or channel whose server is asked by grpc.health.v1. Seconds: a check comes `every` so often, takes
        `timeout` at most, and counts as DEGRADED where it takes longer than `slow`. `layer` None is the check's own,
        else SERVICES. Raises ConfigurationError.
        """
        if name in self._components or name in self._known:
            raise ConfigurationError(f"there are two health components named {name!r}; give one another name")
        if not name:
            raise ConfigurationError("a health component needs a name")
        try:
            rules = HealthCheck(interval=every, timeout=timeout, slow=slow)
        except (TypeError, ValueError) as error:
            text = str(error).replace("interval", "every")
            raise ConfigurationError(f"health component {name}: {text}") from None
        function = _function(name, check)
        found = getattr(function, "layer", HealthLayer.SERVICES) if layer is None else layer
        if not isinstance(found, HealthLayer):
            raise ConfigurationError(f"health component {name}: layer must be a kit.health.HealthLayer, not {found!r}")
        component = Component(
            name,
            function,
            rules,
            layer=found,
            required=required,
            clock=self._clock,
            random=self._random,
            told=self._stepped,
        )
        self._components[name] = component
        self._debounce.begin(name, component.status)
        if self._started:
            self._run(component)

    def show(self, name: str, finding: Callable[[], Finding], *, layer: HealthLayer) -> None:
        """Shows a component of which all is known already: `finding` is called whenever somebody looks, and has to be
        quick. It is never required, and its changes are told to nobody.
        """
        if name in self._components or name in self._known:
            raise ConfigurationError(f"there are two health components named {name!r}; give one another name")
        self._known[name] = finding, layer

    async def remove(self, name: str) -> None:
        """Checks it no more and forgets it; nothing where it is not known."""
        self._known.pop(name, None)
        component = self._components.pop(name, None)
        if component is None:
            return
        self._debounce.forget(name)
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await component.close()
        self.on_check()

    def listen(self, listener: Callable[[HealthEvent], object]) -> Callable[[], None]:
        """Tells `listener` of every event, on the event loop; what is returned removes it again."""
        return self._listeners.add(listener)

    # What can be asked

    def results(self) -> list[HealthResult]:
        """Every component, in the order in which they were added; first those that are only shown."""
        return [*map(self._shown, self._known), *(component.result() for component in self._components.values())]

    def result(self, name: str) -> HealthResult:
        """One component. Raises UsageError where it is not known."""
        if name in self._known:
            return self._shown(name)
        if name not in self._components:
            raise UsageError(f"there is no health component {name!r}")
        return self._components[name].result()

    def _shown(self, name: str) -> HealthResult:
        finding, layer = self._known[name]
        now = finding()
        return HealthResult(
            component=name,
            layer=layer,
            required=False,
            status=now.status,
            message=now.message,
            timestamp=self._clock.wall(),
            details=now.details,
        )

    def missing(self) -> list[str]:
        """Names of the required components that cannot be worked with: unhealthy, or never found well yet."""
        return [one.name for one in self._components.values() if one.required and not one.serves]

    @property
    def ready(self) -> bool:
        """Whether no required component is missing."""
        return all(one.serves for one in self._components.values() if one.required)

    @property
    def status(self) -> Health:
        """The whole: the worst of the required ones; others make it DEGRADED at the worst."""
        return worst(*(_share(one) for one in self.results()))

    # Its life

    def start(self) -> None:
        """Begins to check, inside the running event loop; all components at once, and then each by its own interval."""
        if self._started:
            return
        self._started = True
        for component in self._components.values():
            self._run(component)

    async def check_now(self, *names: str) -> list[HealthResult]:
        """Checks these, or all of them, once, beside their intervals, and returns what is known then."""
        chosen = [one for one in self._components.values() if not names or one.name in names]
        await asyncio.gather(*(component.look() for component in chosen))
        return [component.result() for component in chosen]

    async def close(self) -> None:
        """Checks no more. What is known stays; what has not settled is not told."""
        self._started = False
        tasks = [*self._tasks.values(), *([] if self._teller is None else [self._teller])]
        self._tasks, self._teller = {}, None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.gather(*(component.close() for component in self._components.values()))

    def _run(self, component: Component) -> None:
        if self._teller is None:
            self._teller = asyncio.create_task(self._tell(), name="health events", context=Context())
        # In a context of its own: the starter's deadline, span and reports are not those of the checks.
        task = asyncio.create_task(component.run(), name=f"health of {component.name}", context=Context())
        self._tasks[component.name] = task

    def _stepped(self, component: Component, step: Step) -> None:
        if self._components.get(component.name) is not component:
            return
        if step.anomaly is not None:
            latency, usual = step.anomaly
            self._listeners.tell(
                LatencyAnomaly(component=component.name, endpoint=component.endpoint, latency=latency, usual=usual)
            )
        self._debounce.note(component.name, step.new, self._clock.now())
        self._noted.set()
        self.on_check()

    async def _tell(self) -> None:
        """Tells what has settled, for as long as it is checked."""
        while True:
            for key, old, new in self._debounce.take(self._clock.now()):
                component = self._components.get(str(key))
                if component is not None:
                    event = HealthChanged(
                        component=component.name,
                        endpoint=component.endpoint,
                        old=old,
                        new=new,
                        result=component.result(),
                    )
                    bad = new is Health.UNHEALTHY
                    self._listeners.tell(event, level=logging.WARNING if bad else logging.INFO)
            self._noted.clear()
            left = self._debounce.due - self._clock.now()
            await (self._noted.wait() if left == float("inf") else self._clock.sleep(max(0.0, left)))


def _share(result: HealthResult) -> Health:
    status = result.status
    return Health.DEGRADED if status is Health.UNHEALTHY and not result.required else status


def _function(name: str, check: CheckFunction | str | grpc.aio.Channel) -> CheckFunction:
    if isinstance(check, (str, grpc.aio.Channel)):
        from kit.health.checks import GrpcHealth

        return GrpcHealth(check)
    if not callable(check):
        raise ConfigurationError(
            f"health component {name}: an async function, a target or a channel is needed, not {check!r}"
        )
    return check
