"""The cache process, wired up."""

from __future__ import annotations

import kit
from kit.clock import SYSTEM, Clock
from loganalyzer.cache.v1 import cache_pb2_grpc
from services.cache.config import Config
from services.cache.service import CacheService
from services.cache.store import ByteCache


def build(config: Config, *, clock: Clock = SYSTEM) -> kit.Server:
    """The server, not yet started."""
    return kit.Server("cache").add(
        CacheService(ByteCache(config.byte_limit), clock=clock), cache_pb2_grpc.add_CacheServiceServicer_to_server
    )
