"""What to do about a component that has failed: the first strategy that handles the error is carried out, once.

recovery = Recovery([Restart(supervisor.restart)])
state = await recovery.recover("search", error)
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import grpc
import grpc.aio

from kit.clock import SYSTEM, Clock
from kit.errors import ConfigurationError, KitError, Unavailable
from kit.observe import get_logger
from kit.recovery.strategies import RestartPolicy

__all__ = ["NoStrategyError", "Recovery", "RecoveryState", "Restart", "Strategy"]

log = get_logger("kit.recovery")


class NoStrategyError(KitError):
    """Nobody knows what to do about an error."""


class RecoveryState(enum.Enum):
    """How far the recovery of a component is."""

    IN_PROGRESS = "in progress"
    COMPLETED = "completed"
    FAILED = "failed"


class Strategy(Protocol):
    """A way to recover."""

    def handles(self, error: BaseException) -> bool:
        """Whether it may help against the error."""
        ...

    async def recover(self, component: str) -> bool:
        """Carries it out; whether the component is well again."""
        ...


class Restart:
    """Restarts what is not available, and what is configured wrongly: it may have been corrected meanwhile."""

    def __init__(
        self,
        restart: Callable[[str], Awaitable[bool]],
        *,
        policy: RestartPolicy | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        """`restart` restarts the component of that name, as `Supervisor.restart` does, and says whether it got ready.

        `policy` says how often it is tried and after which pauses; None is three times, after 1, 2 and 4 s.
        """
        self._restart = restart
        self._policy = RestartPolicy() if policy is None else policy
        self._clock = clock

    def handles(self, error: BaseException) -> bool:
        """Unavailable, as a server raises it or a client gets it, and ConfigurationError."""
        if isinstance(error, grpc.aio.AioRpcError):
            return error.code() is grpc.StatusCode.UNAVAILABLE
        return isinstance(error, (Unavailable, ConfigurationError))

    async def recover(self, component: str) -> bool:
        """Restarts it until it gets ready or the policy says that it is enough."""
        for number in range(1, self._policy.max_restarts + 1):
            await self._clock.sleep(self._policy.delay(number))
            if await self._restart(component):
                return True
            log.warning("a restart has not helped", component=component, restart=number)
        return False


class Recovery:
    """Recovers components by name."""

    def __init__(self, strategies: Sequence[Strategy]) -> None:
        """The first strategy that handles an error is taken."""
        self._strategies = tuple(strategies)
        self._running: dict[str, asyncio.Task[RecoveryState]] = {}
        self._states: dict[str, RecoveryState] = {}

    def state(self, component: str) -> RecoveryState | None:
        """How far it is; None for a component that never had to be recovered."""
        return self._states.get(component)

    async def recover(self, component: str, error: BaseException) -> RecoveryState:
        """COMPLETED or FAILED. While the component is being recovered already, that is waited for and no more.

        Raises NoStrategyError where no strategy handles the error.
        """
        running = self._running.get(component)
        if running is None:
            strategy = next((one for one in self._strategies if one.handles(error)), None)
            if strategy is None:
                raise NoStrategyError(
                    f"no strategy recovers {component} from {type(error).__name__}: {error}"
                ) from error
            self._states[component] = RecoveryState.IN_PROGRESS
            running = self._running[component] = asyncio.create_task(self._recover(component, strategy))
            running.add_done_callback(lambda _: self._running.pop(component, None))
        # Whoever gives up waiting leaves the recovery to the others.
        return await asyncio.shield(running)

    async def _recover(self, component: str, strategy: Strategy) -> RecoveryState:
        state = RecoveryState.FAILED
        try:
            if await strategy.recover(component):
                state = RecoveryState.COMPLETED
        except Exception:
            log.exception("a recovery failed", component=component)
        finally:
            self._states[component] = state
        log.info("recovery", component=component, state=state.value)
        return state
