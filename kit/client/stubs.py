"""What a stub holds for each of its methods: it makes the call, which starts at once. One for each shape of RPC."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio

from kit.call import current_priority
from kit.client._asked import check_call, checked_metadata, refusing, with_priority
from kit.client._requests import check_requests
from kit.client.calls import UnaryUnaryCall
from kit.client.direct import Direct, Never
from kit.client.endpoints import Endpoints
from kit.client.streams import StreamStreamCall, StreamUnaryCall, UnaryStreamCall
from kit.clock import Clock
from kit.pipeline import Call, Handler, Method

__all__ = ["DirectStub", "StreamStreamStub", "StreamUnaryStub", "Stub", "UnaryStreamStub", "UnaryUnaryStub"]


class Stub:
    """What a stub holds for one method."""

    __slots__ = ("_clock", "_handler", "_method")

    def __init__(self, method: Method, handler: Handler, clock: Clock) -> None:
        self._method = method
        self._handler = handler
        self._clock = clock

    def _asked(
        self, timeout: Any, metadata: Any, credentials: Any, wait_for_ready: Any, compression: Any
    ) -> tuple[Any, Handler]:
        """Looks at what a call is given beside its request: its metadata as it is sent, and the call's handler.

        Raises UsageTypeError, UsageValueError and InvalidMetadata.
        """
        check_call(timeout, credentials, wait_for_ready, compression)
        if metadata is None:
            return None, self._handler
        metadata, refusal = checked_metadata(metadata, self._method.metadata_limit)
        return metadata, self._handler if refusal is None else refusing(refusal, self._method, self._clock)


class UnaryUnaryStub(Stub, grpc.aio.UnaryUnaryMultiCallable[Any, Any]):
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
        handler = self._handler
        if (
            timeout is not None
            or metadata is not None
            or credentials is not None
            or wait_for_ready is not None
            or compression is not None
        ):
            metadata, handler = self._asked(timeout, metadata, credentials, wait_for_ready, compression)
        if current_priority() is not None:
            metadata = with_priority(metadata)
        call = Call(
            self._method,
            request,
            timeout=timeout,
            metadata=metadata,
            credentials=credentials,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )
        return UnaryUnaryCall(call, handler, self._clock)


class DirectStub(UnaryUnaryStub):
    """Sends first attempts at once, where there is nothing to decide (`kit.client.direct`)."""

    __slots__ = ("_direct", "_endpoints")

    def __init__(
        self, method: Method, handler: Handler, clock: Clock, direct: Direct | Never, endpoints: Endpoints
    ) -> None:
        super().__init__(method, handler, clock)
        self._direct = direct
        self._endpoints = endpoints

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
        handler = self._handler
        if (
            timeout is not None
            or metadata is not None
            or credentials is not None
            or wait_for_ready is not None
            or compression is not None
        ):
            metadata, handler = self._asked(timeout, metadata, credentials, wait_for_ready, compression)
        if current_priority() is not None:
            metadata = with_priority(metadata)
        if handler is self._handler:
            try:
                sent = self._direct.send(
                    self._endpoints, request, timeout, metadata, credentials, wait_for_ready, compression
                )
            except Exception:  # noqa: BLE001 - it is raised once more by the pipeline, to whom it tells what
                sent = None
            if sent is not None:
                return sent
        call = Call(self._method, request, timeout, metadata, credentials, wait_for_ready, compression)
        return UnaryUnaryCall(call, handler, self._clock)


class UnaryStreamStub(Stub, grpc.aio.UnaryStreamMultiCallable[Any, Any]):
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
        handler = self._handler
        if (
            timeout is not None
            or metadata is not None
            or credentials is not None
            or wait_for_ready is not None
            or compression is not None
        ):
            metadata, handler = self._asked(timeout, metadata, credentials, wait_for_ready, compression)
        if current_priority() is not None:
            metadata = with_priority(metadata)
        call = Call(
            self._method,
            request,
            timeout=timeout,
            metadata=metadata,
            credentials=credentials,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )
        return UnaryStreamCall(call, handler, self._clock)


class StreamUnaryStub(Stub, grpc.aio.StreamUnaryMultiCallable[Any, Any]):
    def __call__(
        self,
        request_iterator: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> StreamUnaryCall:
        if request_iterator is not None:
            check_requests(request_iterator)
        handler = self._handler
        if (
            timeout is not None
            or metadata is not None
            or credentials is not None
            or wait_for_ready is not None
            or compression is not None
        ):
            metadata, handler = self._asked(timeout, metadata, credentials, wait_for_ready, compression)
        if current_priority() is not None:
            metadata = with_priority(metadata)
        call = Call(
            self._method,
            request_iterator,
            timeout=timeout,
            metadata=metadata,
            credentials=credentials,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )
        return StreamUnaryCall(call, handler, self._clock)


class StreamStreamStub(Stub, grpc.aio.StreamStreamMultiCallable[Any, Any]):
    def __call__(
        self,
        request_iterator: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> StreamStreamCall:
        if request_iterator is not None:
            check_requests(request_iterator)
        handler = self._handler
        if (
            timeout is not None
            or metadata is not None
            or credentials is not None
            or wait_for_ready is not None
            or compression is not None
        ):
            metadata, handler = self._asked(timeout, metadata, credentials, wait_for_ready, compression)
        if current_priority() is not None:
            metadata = with_priority(metadata)
        call = Call(
            self._method,
            request_iterator,
            timeout=timeout,
            metadata=metadata,
            credentials=credentials,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )
        return StreamStreamCall(call, handler, self._clock)
