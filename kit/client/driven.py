"""A pipeline's coroutine, and who drives it.

Theory of operation. The pipeline is a coroutine. Making the call steps it once, by hand, which runs it up to its first
wait: grpc's own call has then been started. Whoever awaits the call afterwards drives the coroutine to its outcome,
further attempts included. So the usual call costs no task of its own. One party drives at a time:

    nobody      the call was made and nobody waits for it; when grpc's call ends a task is made that drives
    an awaiter  `await call`, or the first read of a stream; it drives in its own task
    a task      the first attempt could not start at once, or nobody was there when grpc's call ended

Everybody else waits for the outcome. Cancelling whoever awaits the call cancels the call, as with grpc.aio; waiting for
`code()` or metadata and being cancelled does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections.abc import Callable, Generator
from typing import Any

import grpc
import grpc.aio

from kit.clock import Clock
from kit.pipeline import Call, Handler, Outcome

__all__ = ["Driven", "at_once"]


class Driven:
    """A pipeline's coroutine, and who drives it."""

    # What a call starts with stands on the class, so that making one sets only what it was made with.
    _call: Call
    _clock: Clock
    _coroutine: Any
    _waiting: Any = None
    _outcome: Outcome | None = None
    _failure: BaseException | None = None
    _settled = False
    _driving = False
    _watching = False
    _cancelled = False
    _task: asyncio.Task[None] | None = None
    _event: asyncio.Event | None = None
    _callbacks: list[Callable[[Any], None]] | None = None

    def _start(self, call: Call, handler: Handler, clock: Clock) -> None:
        self._call = call
        self._clock = clock
        self._coroutine = handler(call)
        try:
            self._waiting = self._coroutine.send(None)
        except StopIteration as stop:
            self._settle(stop.value, None)
        else:
            if call.inner is None:
                self._drive_by_task()
            elif call.holds:
                self._watch()

    def _settle(self, outcome: Outcome | None, failure: BaseException | None) -> None:
        self._outcome = outcome
        self._failure = None if failure is None else _fresh(failure)
        self._settled = True
        # On a stock channel it leads back here, by grpc's call around ours.
        self._call.send = None
        self._coroutine = self._waiting = None
        if self._event is not None:
            self._event.set()
        self._on_settled()

    def _on_settled(self) -> None:
        raise NotImplementedError

    @types.coroutine
    def _drive(self) -> Generator[Any, Any, None]:
        """Runs the coroutine to its outcome in whatever task waits for this."""
        self._driving = True
        coroutine = self._coroutine
        while True:
            try:
                try:
                    yield self._waiting
                except GeneratorExit:
                    self._give_up()
                    raise
                except BaseException as error:  # noqa: BLE001 - it is the pipeline's to handle, whatever it is
                    self._waiting = coroutine.throw(error)
                else:
                    step = coroutine.throw if self._cancelled else coroutine.send
                    self._waiting = step(asyncio.CancelledError() if self._cancelled else None)
            except StopIteration as stop:
                self._settle(stop.value, None)
                return
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 - raised from `_result` to everybody who waits
                self._settle(None, error)
                return

    def _give_up(self) -> None:
        """Cancels the call for an awaiter that is closed and can wait for nothing any more."""
        coroutine = self._coroutine
        with contextlib.suppress(BaseException):
            coroutine.throw(asyncio.CancelledError())
        coroutine.close()
        self._settle(None, asyncio.CancelledError())

    def _drive_by_task(self) -> None:
        async def run() -> None:
            await self._drive()

        self._driving = True
        self._task = asyncio.get_running_loop().create_task(run())

    def _watch(self) -> None:
        """Sees to it that the call comes to its outcome even if nobody drives it."""
        if self._settled or self._driving or self._watching:
            return
        self._watching = True
        self._call.inner.add_done_callback(self._inner_done)

    def _inner_done(self, _: object) -> None:
        if not (self._settled or self._driving):
            self._drive_by_task()

    async def _outcome_there(self) -> None:
        """Waits for the outcome without driving; being cancelled here is no affair of the call."""
        if self._settled:
            return
        self._watch()
        if not self._settled:
            if self._event is None:
                self._event = asyncio.Event()
            await self._event.wait()

    async def _join(self) -> None:
        """Waits for what another one drives; being cancelled here cancels the call."""
        try:
            await self._outcome_there()
        except asyncio.CancelledError:
            self.cancel()
            raise

    def _result(self) -> Any:
        if self._failure is not None:
            raise _fresh(self._failure)
        assert self._outcome is not None
        if self._outcome.error is not None:
            raise _fresh(self._outcome.error)
        return self._outcome.response

    def cancel(self) -> bool:
        """Cancels the call; False when it had ended."""
        if self._settled or self._cancelled:
            return False
        inner = self._call.inner
        # Asking for it may have settled the call.
        if self._settled or (inner is not None and inner.done() and self._is_final(inner)):
            return False
        self._cancelled = True
        if inner is not None:
            inner.cancel()
        if not self._driving:
            self._throw(asyncio.CancelledError())
        elif self._waiting is not None and (inner is None or inner.done()):
            self._waiting.cancel()
        return True

    def _is_final(self, inner: Any) -> bool:
        """Whether nothing can follow grpc's call, which has ended."""
        method = self._call.method
        return not method.may_replay or inner.cancelled() or at_once(inner.code(), None) is grpc.StatusCode.OK

    def _throw(self, error: BaseException) -> None:
        """Ends a coroutine that nobody drives, here and now."""
        try:
            self._waiting = self._coroutine.throw(error)
        except StopIteration as stop:
            self._settle(stop.value, None)
        except BaseException as raised:  # noqa: BLE001 - raised from `_result`
            self._settle(None, raised)
        else:
            self._drive_by_task()
        finally:
            # It has come through this frame, which would keep it, and it the call.
            del error


def _fresh(error: BaseException) -> BaseException:
    """The same without the frames that it has come through: they refer to the call, and the call to it.

    Garbage of that kind would wait for the collector after every call that failed. An error that is neither grpc's nor
    a cancellation is the same one: its frames show a defect.
    """
    if not isinstance(error, (grpc.aio.AioRpcError, asyncio.CancelledError)):
        return error
    made = type(error).__new__(type(error), *error.args)
    made.__dict__.update(error.__dict__)
    made.__cause__, made.__suppress_context__ = error.__cause__, error.__suppress_context__
    return made


def at_once(coroutine: Any, default: Any) -> Any:
    """The result of a coroutine that need not wait, as those of a finished call do not; else `default`."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    return default
