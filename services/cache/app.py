"""The cache process, wired up."""

from __future__ import annotations

import kit
from kit.clock import SYSTEM, Clock
from loganalyzer.cache.v1 import cache_pb2_grpc
from services.cache.config import Config
from services.cache.service import CacheService
from services.cache.store import ByteCache


def build(
    config: Config, *, clock: Clock = SYSTEM, listen: str | None = None, register: bool | None = None
) -> kit.Server:
    """The server, not yet started. `listen` and `register` are `kit.Server`'s."""
    return kit.Server("cache", listen=listen, register=register, single_process="what it keeps is in its memory").add(
        CacheService(ByteCache(config.byte_limit), clock=clock), cache_pb2_grpc.add_CacheServiceServicer_to_server
    )
