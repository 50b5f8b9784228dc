"""What a guarded function gave back and is not finished yet, watched until it ends.

`finish` is told None for a good end, or the exception that ended it; a consumer that goes away is a GeneratorExit. It
may be told more than once. What is dropped without being finished is told by the garbage collector.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, TypeAlias, TypeVar

__all__ = ["Finish", "watch"]

Finish: TypeAlias = Callable[[BaseException | None], None]
_T = TypeVar("_T")


def watch(result: Any, finish: Finish) -> Any:
    """What was given back, or a coroutine or generator in its place; anything else is finished by now."""
    if inspect.iscoroutine(result):
        return _or_dropped(_coroutine(result, finish), finish)
    if inspect.isgenerator(result):
        return _or_dropped(_generator(result, finish), finish)
    if inspect.isasyncgen(result):
        return _or_dropped(_AsyncGenerator(result, finish), finish)
    finish(None)
    return result


async def _coroutine(inner: Coroutine[Any, Any, Any], finish: Finish) -> Any:
    try:
        result = await inner
    except BaseException as error:
        finish(error)
        raise
    finish(None)
    return result


def _generator(inner: Generator[Any, Any, Any], finish: Finish) -> Generator[Any, Any, Any]:
    try:
        result = yield from inner
    except BaseException as error:
        finish(error)
        raise
    finish(None)
    return result


def _or_dropped(watched: _T, finish: Finish) -> _T:
    weakref.finalize(watched, finish, GeneratorExit()).atexit = False
    return watched


class _AsyncGenerator(AsyncGenerator[Any, Any]):
    """A class, because an async generator that delegates loses what is sent and thrown in."""

    def __init__(self, inner: AsyncGenerator[Any, Any], finish: Finish) -> None:
        self._inner = inner
        self._finish = finish

    async def asend(self, value: Any) -> Any:
        try:
            return await self._inner.asend(value)
        except StopAsyncIteration:
            self._finish(None)
            raise
        except BaseException as error:
            self._finish(error)
            raise

    async def athrow(self, typ: Any, val: Any = None, tb: Any = None, /) -> Any:
        # The form with three arguments is deprecated from Python 3.12 on.
        thrown = typ if val is None else val
        if tb is not None and isinstance(thrown, BaseException):
            thrown = thrown.with_traceback(tb)
        try:
            return await self._inner.athrow(thrown)
        except StopAsyncIteration:
            self._finish(None)
            raise
        except BaseException:
            # The consumer's own, which came back to it: it says nothing of who produces.
            self._finish(GeneratorExit())
            raise

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._finish(GeneratorExit())
