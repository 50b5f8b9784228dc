"""Which store a server keeps its keys in: what it is given, what the environment says, or a file of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import quote

from kit.clock import SYSTEM, Clock
from kit.discovery import data_dir
from kit.errors import ConfigurationError
from kit.server._call import ServerMethod
from kit.server._deduplicate import DeduplicateLayer, deduplicated
from kit.server.idempotency._keeper import Keeper
from kit.server.idempotency.store import IdempotencyStore

__all__ = ["Deduplication", "StoreSource"]

#: A store, the URL of a database, the path of a SQLite file, False where the handlers deduplicate themselves, None for
#: the default.
StoreSource: TypeAlias = IdempotencyStore | str | Path | Literal[False] | None


class Deduplication:
    """The layer of a server and its store, from the start to the stop."""

    def __init__(
        self,
        source: StoreSource,
        *,
        name: str = "",
        loopback: bool = False,
        clock: Clock = SYSTEM,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """None is what KIT_IDEMPOTENCY says, then, on loopback, a SQLite file that is named after the server.

        Raises ConfigurationError for what is no store.
        """
        env = os.environ if environ is None else environ
        given = (env.get("KIT_IDEMPOTENCY") or None) if source is None else source
        self._clock = clock
        self._name = name
        self._loopback = loopback
        self._store = None if given is None or given is False else _store(given)
        self._keeps = False
        self.layer = DeduplicateLayer(None if self._store is None else Keeper(self._store, clock), off=given is False)

    def check(self, methods: Iterable[ServerMethod], *, processes: int = 1) -> None:
        """Settles the store of a server that serves `methods` in so many processes.

        Raises PolicyError for a stream that declares a key, and ConfigurationError where there is no store for those
        that do, or one that the processes cannot share.
        """
        declaring = [method.path for method in methods if deduplicated(method) is not None]
        if not declaring or self.layer.off:
            return
        self._keeps = True
        if self._store is None:
            if not self._loopback or not self._name:
                raise ConfigurationError(
                    f"idempotency: {declaring[0]} declares idempotency keys, and this server may be one of several on "
                    'different machines: name a database that they share, as idempotency="postgresql://..." or '
                    "KIT_IDEMPOTENCY; for a single machine a file will do: sqlite:////var/lib/orders/keys.db"
                )
            path = data_dir() / "idempotency" / f"{quote(self._name, safe='')}.db"
            self._store = _store(path)
            self.layer.keeper = Keeper(self._store, self._clock)
        if processes > 1 and not self._store.shared:
            raise ConfigurationError(
                f"idempotency: {type(self._store).__name__} is of one process, and there are {processes} workers; give "
                'idempotency="sqlite:////path/to/file" or "postgresql://..."'
            )

    def check_running(self, methods: Iterable[ServerMethod]) -> None:
        """The same for policies that change while the server runs: a store is opened at the start only."""
        declaring = [method.path for method in methods if deduplicated(method) is not None]
        if declaring and not self.layer.off and not self._keeps:
            raise ConfigurationError(
                f"idempotency: {declaring[0]} declares idempotency keys, which no method did when the server started, "
                "so no store is open; start the server again with this policy"
            )

    async def start(self) -> None:
        """Opens the store where it is needed. Raises ConfigurationError."""
        if self._keeps and self.layer.keeper is not None:
            await self.layer.keeper.start()

    async def stop(self) -> None:
        """Closes it, after the last call."""
        if self._keeps and self.layer.keeper is not None:
            await self.layer.keeper.stop()


def _store(source: object) -> IdempotencyStore:
    if isinstance(source, (str, Path)):
        from kit.server.idempotency import SqlStore

        return SqlStore(source if isinstance(source, str) else f"sqlite:///{quote(str(source.absolute()))}")
    if not all(hasattr(source, name) for name in ("claim", "complete", "release", "renew", "shared")):
        raise ConfigurationError(
            f"idempotency must be a store, the URL of a database, a Path, False or None, not {source!r}; "
            "SqlStore(engine) makes a store of an engine"
        )
    return source  # type: ignore[return-value]
