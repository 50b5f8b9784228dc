"""Fixtures for pytest. They are there wherever the kit is installed (entry point `pytest11`).

    virtual_clock   a `VirtualClock`, to be handed to what takes a clock and moved by `await virtual_clock.advance(...)`
    faults          a `Faults`: what the calls of this test meet on the servers that `in_process` starts
    in_process      starts servers: `process = await in_process(Servicer(), add_XServicer_to_server)`, then
                    `XStub(process.channel)`; takes what `kit.testing.InProcess` takes, and stops them after the test

`in_process` needs pytest-asyncio and runs in the event loop of the test. grpc.aio wants one event loop for the whole
process, so set `asyncio_default_test_loop_scope` and `asyncio_default_fixture_loop_scope` to "session".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest

from kit.testing.clock import VirtualClock
from kit.testing.faults import Faults
from kit.testing.inprocess import InProcess

try:
    import pytest_asyncio
except ImportError:  # pragma: no cover - the kit's own tests have it
    _has_asyncio = False
else:
    _has_asyncio = True

__all__ = ["StartInProcess", "faults", "in_process", "virtual_clock"]


class StartInProcess(Protocol):
    """What `in_process` is."""

    def __call__(
        self, servicer: object, add_to_server: Callable[[Any, Any], object], **options: Any
    ) -> Awaitable[InProcess]:
        """Starts a server with `servicer` and opens a channel to it; `options` are those of `InProcess`."""
        ...


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """A clock that stands still until it is moved."""
    return VirtualClock()


@pytest.fixture
def faults() -> Faults:
    """Scripted faults, played by every server that `in_process` starts in the same test."""
    return Faults()


if _has_asyncio:

    @pytest_asyncio.fixture
    async def in_process(faults: Faults) -> AsyncIterator[StartInProcess]:
        """Starts servers in this process, each with a channel to it; they are stopped after the test."""
        async with AsyncExitStack() as stack:

            async def start(servicer: object, add_to_server: Callable[[Any, Any], object], **options: Any) -> InProcess:
                process = InProcess(servicer, add_to_server, **{"faults": faults, **options})
                return await stack.enter_async_context(process)

            yield start

else:  # pragma: no cover - the kit's own tests have it

    @pytest.fixture
    def in_process() -> StartInProcess:
        """Says what is missing."""
        pytest.fail("the fixture in_process needs pytest-asyncio: pip install pytest-asyncio")
