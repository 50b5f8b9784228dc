"""The certificates of a channel, followed while it is in use.

Theory of operation. Each second the files are looked at (also behind a link, as Kubernetes changes them). A change that
has stood still for one look is read and checked. What is good so far is tried: every endpoint that is connected gets a
second connection, opened with the new certificates, and only when that stands do calls move over to it. So no call
waits and none fails. Certificates that no endpoint takes are refused like files that are damaged: the former ones stay.
They are tried again from time to time, for servers may learn later whom to trust; so is an endpoint that does not take
what others took.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable
from functools import partial

import grpc
import grpc.aio

from kit.client.endpoints import Endpoints
from kit.client.events import CertificatesReloaded, Listeners
from kit.client.tls import TlsFiles
from kit.clock import Clock
from kit.errors import ConfigurationError
from kit.tls import INTERVAL

__all__ = ["Certificates"]

#: Seconds that a connection with new certificates may take to stand.
CONNECT_TIMEOUT = 10.0
#: Seconds between two tries where new certificates were not taken.
TRY_AGAIN = 10.0

_READY = grpc.ChannelConnectivity.READY


class Certificates:
    """See the module. `connect` opens a sub-channel to an address."""

    def __init__(
        self,
        files: TlsFiles,
        connect: Callable[[str, grpc.ChannelCredentials], grpc.aio.Channel],
        clock: Clock,
        listeners: Listeners,
    ) -> None:
        """Reads the files. Raises ConfigurationError."""
        self._files = files
        self._connect = connect
        self._clock = clock
        self._listeners = listeners
        self._changes = files.files()
        self._current = files.read()
        #: What has been read and no endpoint has taken yet.
        self._candidate: grpc.ChannelCredentials | None = None
        self._opened: weakref.WeakKeyDictionary[grpc.aio.Channel, grpc.ChannelCredentials] = weakref.WeakKeyDictionary()

    def dial(self, address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
        """Opens a sub-channel with the current certificates, or with these."""
        credentials = self._current if credentials is None else credentials
        channel = self._connect(address, credentials)
        self._opened[channel] = credentials
        return channel

    def follow(self, endpoints: Endpoints) -> None:
        """Looks after the files from when the channel is first used."""

        endpoints.hint = self._files.hint
        weak = weakref.ref(endpoints)  # they keep us alive, not we them

        def begin() -> None:
            endpoints = weak()
            assert endpoints is not None
            if self._changes.moved():  # the channel was opened long ago
                self._read(endpoints)
                if self._candidate is not None:
                    self._adopt(endpoints, self._candidate)
            endpoints.background(self._follow(weak))

        endpoints.on_use.append(begin)

    async def _follow(self, weak: weakref.ref[Endpoints]) -> None:
        tried_at = self._clock.now()
        while True:
            await self._clock.sleep(INTERVAL)
            if (endpoints := weak()) is None:
                return
            if self._changes.changed():
                self._read(endpoints)
                await self._try(endpoints, told=False)
                tried_at = self._clock.now()
            elif self._clock.now() - tried_at >= TRY_AGAIN:
                await self._try(endpoints, told=True)
                tried_at = self._clock.now()
            del endpoints

    def _read(self, endpoints: Endpoints) -> None:
        self._changes.note()
        self._candidate = None
        try:
            self._candidate = self._files.read()
        except ConfigurationError as error:
            self._refuse(endpoints, str(error))

    async def _try(self, endpoints: Endpoints, *, told: bool) -> None:
        """Moves over who is not yet."""
        wanted = self._candidate if self._candidate is not None else self._current
        behind = [endpoint for endpoint in endpoints.all if self._opened.get(endpoint.channel) is not wanted]
        connected = [endpoint for endpoint in behind if endpoint.state() is _READY]
        dial = partial(self.dial, credentials=wanted)
        outcomes = await asyncio.gather(*(endpoints.renew(endpoint, CONNECT_TIMEOUT, dial) for endpoint in connected))
        if wanted is self._candidate:
            if connected and None not in outcomes:
                if not told:
                    reasons = zip(connected, outcomes, strict=True)
                    self._refuse(endpoints, "; ".join(f"{at.address}: {reason}" for at, reason in reasons))
                return
            self._adopt(endpoints, wanted)
        else:
            self._redial(endpoints)

    def _adopt(self, endpoints: Endpoints, credentials: grpc.ChannelCredentials) -> None:
        self._current, self._candidate = credentials, None
        self._redial(endpoints)
        self._listeners.tell(CertificatesReloaded(target=endpoints.target, accepted=True))

    def _redial(self, endpoints: Endpoints) -> None:
        """Those without a connection have nothing to lose."""
        for endpoint in endpoints.all:
            if self._opened.get(endpoint.channel) is not self._current and endpoint.state() is not _READY:
                endpoints.redial(endpoint)

    def _refuse(self, endpoints: Endpoints, reason: str) -> None:
        event = CertificatesReloaded(target=endpoints.target, accepted=False, reason=reason)
        self._listeners.tell(event, level=logging.WARNING)
