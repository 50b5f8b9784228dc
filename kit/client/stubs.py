"""What a stub holds for each of its methods: it makes the call, which starts at once. One for each shape of RPC."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio

from kit.client.calls import StreamStreamCall, StreamUnaryCall, UnaryStreamCall, UnaryUnaryCall
from kit.clock import Clock
from kit.pipeline import Call, Handler, Method

__all__ = ["StreamStreamStub", "StreamUnaryStub", "UnaryStreamStub", "UnaryUnaryStub"]


class _Stub:
    """What a stub holds for one method."""

    __slots__ = ("_clock", "_handler", "_method")

    def __init__(self, method: Method, handler: Handler, clock: Clock) -> None:
        self._method = method
        self._handler = handler
        self._clock = clock


class UnaryUnaryStub(_Stub, grpc.aio.UnaryUnaryMultiCallable[Any, Any]):
    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> UnaryUnaryCall:
        call = Call(
            self._method,
            request,
            timeout=timeout,
            metadata=metadata,
            credentials=credentials,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )
        return UnaryUnaryCall(call, self._handler, self._clock)


class UnaryStreamStub(_Stub, grpc.aio.UnaryStreamMultiCallable[Any, Any]):
    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> UnaryStreamCall:
        call = Call(
            self._method,
            request,
            timeout=timeout,
            metadata=metadata,
            credentials=credentials,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )
        return UnaryStreamCall(call, self._handler, self._clock)


class StreamUnaryStub(_Stub, grpc.aio.StreamUnaryMultiCallable[Any, Any]):
    def __call__(
        self,
        request_iterator: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> StreamUnaryCall:
        call = Call(
            self._method,
            request_iterator,
            timeout=timeout,
            metadata=metadata,
            credentials=credentials,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )
        return StreamUnaryCall(call, self._handler, self._clock)


class StreamStreamStub(_Stub, grpc.aio.StreamStreamMultiCallable[Any, Any]):
    def __call__(
        self,
        request_iterator: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> StreamStreamCall:
        call = Call(
            self._method,
            request_iterator,
            timeout=timeout,
            metadata=metadata,
            credentials=credentials,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )
        return StreamStreamCall(call, self._handler, self._clock)
