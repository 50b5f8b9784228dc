"""A server whose handlers write down that they began and that their `finally` ran. Arguments: the file, the address,
and the seconds without a call after which none is expected any more."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from google.protobuf.wrappers_pb2 import StringValue

import kit
from kit.server import _drain
from tests.integration.client.echo import Context, Echo, add_echo

#: Seconds that a call takes, and the messages of a stream, a call's time apart.
WORK = 0.003
MESSAGES = 40


class Recording(Echo):
    """Takes its time."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        os.write(self._file, b"begin\n")
        try:
            yield
        finally:
            os.write(self._file, b"finally\n")

    async def unary(self, request: StringValue, context: Context) -> StringValue:
        with self._recorded():
            await asyncio.sleep(WORK)
            return request

    async def down(self, request: StringValue, context: Context) -> AsyncIterator[StringValue]:
        with self._recorded():
            for _ in range(MESSAGES):
                await asyncio.sleep(WORK)
                yield request


if __name__ == "__main__":
    if len(sys.argv) > 3:
        _drain.HELD = _drain.SETTLED = float(sys.argv[3])
        _drain.HOLD = 5 * _drain.HELD
    server = kit.Server("rolling", listen=sys.argv[2], register=True).add(Recording(sys.argv[1]), add_echo)
    sys.exit(kit.run(server))
