"""CacheService: translates between protobuf and the cache."""

from __future__ import annotations

from typing import Any

from google.protobuf import duration_pb2

from kit.clock import SYSTEM, Clock
from kit.errors import FieldViolation, InvalidArgument
from kit.observe import get_logger
from loganalyzer.cache.v1 import cache_pb2, cache_pb2_grpc
from services.cache.store import ByteCache

DEFAULT_TTL = 3600.0
LARGEST_KEY = 1024
LARGEST_VALUE = 1 << 20

_log = get_logger("cache")


class CacheService(cache_pb2_grpc.CacheServiceServicer):
    """Every method answers at once from memory."""

    def __init__(self, cache: ByteCache, *, clock: Clock = SYSTEM) -> None:
        self._cache = cache
        self._clock = clock

    async def Get(self, request: cache_pb2.GetRequest, context: Any) -> cache_pb2.GetResponse:
        _check_key(request.key, "key")
        now = self._clock.now()
        entry = self._cache.get(request.key, now)
        if entry is None:
            return cache_pb2.GetResponse(found=False)
        ttl = duration_pb2.Duration()
        ttl.FromMicroseconds(round((entry.expires_at - now) * 1e6))
        return cache_pb2.GetResponse(found=True, value=entry.value, ttl=ttl)

    async def Set(self, request: cache_pb2.SetRequest, context: Any) -> cache_pb2.SetResponse:
        _check_key(request.key, "key")
        if len(request.value) > LARGEST_VALUE:
            raise _invalid("value", f"must have at most {LARGEST_VALUE} bytes, has {len(request.value)}")
        ttl = DEFAULT_TTL
        if request.HasField("ttl"):
            ttl = request.ttl.ToNanoseconds() / 1e9
            if ttl <= 0:
                raise _invalid("ttl", "must be more than 0 s; not set means 1 h")
        self._cache.set(request.key, request.value, ttl, self._clock.now())
        return cache_pb2.SetResponse()

    async def Invalidate(self, request: cache_pb2.InvalidateRequest, context: Any) -> cache_pb2.InvalidateResponse:
        _check_key(request.prefix, "prefix")
        count = self._cache.invalidate(request.prefix)
        _log.info("cache invalidated", prefix=request.prefix, reason=request.reason, entries=count)
        return cache_pb2.InvalidateResponse(entry_count=count)

    async def GetCacheStats(self, request: cache_pb2.GetCacheStatsRequest, context: Any) -> cache_pb2.CacheStats:
        stats = self._cache.stats(self._clock.now())
        return cache_pb2.CacheStats(
            entry_count=stats.entry_count,
            byte_count=stats.byte_count,
            byte_limit=stats.byte_limit,
            hits=stats.hits,
            misses=stats.misses,
            evictions=stats.evictions,
        )


def _check_key(text: str, field: str) -> None:
    size = len(text.encode())
    if not 1 <= size <= LARGEST_KEY:
        raise _invalid(field, f"must have 1 to {LARGEST_KEY} bytes, has {size}")


def _invalid(field: str, description: str) -> InvalidArgument:
    return InvalidArgument(f"{field} {description}", violations=[FieldViolation(field, description)])
