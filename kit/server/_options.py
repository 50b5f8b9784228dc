"""What a server is told, by arguments, then by the environment, then by default."""

from __future__ import annotations

import ipaddress
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.errors import ConfigurationError
from kit.server._limits import ConnectionLimits

#: Options of grpc core. A caller's own option of the same name wins.
CHANNEL_OPTIONS: tuple[tuple[str, Any], ...] = (
    # With it a second server on a used port starts without an error and takes half of the calls.
    ("grpc.so_reuseport", 0),
    # A client that went away without a word is noticed within 80 s.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A connection that has reached its age takes no new calls; those on it have a day, so that no stream is cut that
    # somebody still follows.
    ("grpc.max_connection_age_grace_ms", 86_400_000),
)
_USUAL = ConnectionLimits()
#: Seconds: what fits into grpc's 32 bits of milliseconds.
_MAX_AGE = 24 * 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerOptions:
    """`drain_delay` and `grace` are seconds; `listen` is "host:port", port 0 for one that the system picks."""

    listen: str = "127.0.0.1:0"
    register: bool = True
    drain_delay: float = 0.0
    grace: float = 10.0
    #: Seconds; 0 for no limit. grpc spreads it by a tenth either way, so that clients do not come back all at once.
    max_connection_age: float = 1800.0
    channel: tuple[tuple[str, Any], ...] = (*CHANNEL_OPTIONS, *_USUAL.options())

    def __post_init__(self) -> None:
        host, colon, port = self.listen.rpartition(":")
        if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65536):
            raise ConfigurationError(f'listen: "host:port" is needed, not {self.listen!r}')
        for name in ("drain_delay", "grace"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigurationError(f"{name}: seconds are needed, 0 or more, not {value!r}")
        age = self.max_connection_age
        if not (age == 0 or 1 <= age <= _MAX_AGE):
            raise ConfigurationError(
                f"max_connection_age: 1 to {_MAX_AGE:.0f} seconds are needed, or 0 for no limit, not {age!r}"
            )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can call."""
        return _is_loopback(self.listen)

    @property
    def host(self) -> str:
        """Where it listens, without the port; IPv6 without brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    def advertised(self, port: int) -> str:
        """The address that others on this machine dial."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def server_options(
    *,
    listen: str | None,
    register: bool | None,
    drain_delay: float | None,
    grace: float | None,
    options: Sequence[tuple[str, Any]],
    max_connection_age: float | None = None,
    limits: ConnectionLimits = _USUAL,
    environ: Mapping[str, str] | None = None,
) -> ServerOptions:
    """What is None comes from KIT_LISTEN, KIT_REGISTER, KIT_DRAIN_DELAY, KIT_GRACE, KIT_MAX_CONNECTION_AGE, then from
    the defaults.
    """
    env = os.environ if environ is None else environ
    listen = listen or env.get("KIT_LISTEN") or ServerOptions().listen
    if not isinstance(listen, str):
        raise ConfigurationError(f'listen: "host:port" is needed, not {listen!r}')
    if not isinstance(limits, ConnectionLimits):
        raise ConfigurationError(f"limits is of type {type(limits).__name__}; give a kit.ConnectionLimits")
    own = {name for name, _ in options}
    if max_connection_age is None:
        max_connection_age = _seconds(env, "KIT_MAX_CONNECTION_AGE", ServerOptions().max_connection_age)
    usual: list[tuple[str, Any]] = [*CHANNEL_OPTIONS, *limits.options()]
    if 0 < max_connection_age <= _MAX_AGE:
        usual.append(("grpc.max_connection_age_ms", round(max_connection_age * 1000)))
    return ServerOptions(
        listen=listen,
        drain_delay=_seconds(env, "KIT_DRAIN_DELAY", 0.0) if drain_delay is None else drain_delay,
        grace=_seconds(env, "KIT_GRACE", 10.0) if grace is None else grace,
        register=_switch(env, "KIT_REGISTER", _is_loopback(listen)) if register is None else register,
        max_connection_age=max_connection_age,
        channel=(*(option for option in usual if option[0] not in own), *options),
    )


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "")
    try:
        return float(text) if text else default
    except ValueError:
        raise ConfigurationError(f"{name}: seconds are needed, not {text!r}") from None


def _switch(env: Mapping[str, str], name: str, default: bool) -> bool:
    text = env.get(name, "").lower()
    if text in ("", "1", "true", "yes", "0", "false", "no"):
        return default if not text else text in ("1", "true", "yes")
    raise ConfigurationError(f"{name}: 1 or 0 is needed, not {text!r}")


def _is_loopback(listen: str) -> bool:
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
