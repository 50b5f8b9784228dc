"""What `kit.channel` and `kit.client_interceptors` are given, looked at where it comes in.

The target is looked at in `endpoints` and `_dns`, the policy in `kit.policy`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import grpc

from kit.client._asked import METADATA_LIMIT, check_compression
from kit.client.tls import TlsFiles
from kit.discovery import Registry
from kit.errors import UsageTypeError, UsageValueError
from kit.resilience.pulse import HealthCheck

__all__ = ["check_channel", "check_interceptors", "metadata_limit", "method_path"]

#: The largest that grpc takes for an option.
_MOST = 2**31 - 1
#: Options that say how much metadata is taken; the first that is given holds.
_LIMITS = ("grpc.absolute_max_metadata_size", "grpc.max_metadata_size")


def check_channel(
    credentials: Any,
    options: Any,
    compression: Any,
    registry: Any,
    breaker_listeners: Any,
    on_event: Any,
    warm_up: Any,
    health: Any,
    breaker_storage: Any,
) -> None:
    """Refuses what a channel cannot be opened with. Raises UsageTypeError and UsageValueError."""
    if credentials is not None and not isinstance(credentials, (grpc.ChannelCredentials, TlsFiles)):
        kind = "those of a call, which go along with it: stub.Method(request, credentials=)"
        found = kind if isinstance(credentials, grpc.CallCredentials) else f"{credentials!r}"
        raise UsageTypeError(
            f"credentials are {found}; a channel takes kit.TlsFiles(...), what grpc.ssl_channel_credentials() gives, "
            "or None for none"
        )
    _check_options(options)
    if compression is not None:
        check_compression(compression)
    if registry is not None and not isinstance(registry, Registry):
        raise UsageTypeError(
            f"registry={registry!r} is none; give kit.discovery.Registry(folder), or None for the usual"
        )
    if not isinstance(warm_up, bool):
        raise UsageTypeError(f"warm_up={warm_up!r} is neither True nor False")
    if health is not None and not isinstance(health, HealthCheck):
        raise UsageTypeError(f"health={health!r} says nothing; give kit.HealthCheck(), or None for no health checks")
    _check_listeners(breaker_listeners, on_event)
    _check_storage(breaker_storage)


def check_interceptors(breaker_listeners: Any, on_event: Any, max_metadata_size: Any, breaker_storage: Any) -> None:
    """The same for interceptors."""
    if isinstance(max_metadata_size, bool) or not isinstance(max_metadata_size, int):
        raise UsageTypeError(f"max_metadata_size={max_metadata_size!r} is no number of bytes; give an int")
    if max_metadata_size < 0:
        raise UsageValueError(f"max_metadata_size={max_metadata_size} is no number of bytes; give 0 or more")
    _check_listeners(breaker_listeners, on_event)
    _check_storage(breaker_storage)


def metadata_limit(options: Sequence[tuple[str, Any]]) -> int:
    """Bytes of metadata that a call may be given on a channel with these options."""
    given = dict(options)
    return next((given[name] for name in _LIMITS if isinstance(given.get(name), int)), METADATA_LIMIT)


def method_path(path: Any) -> str:
    """The path as text; grpc takes bytes as well. Raises UsageTypeError for anything else."""
    if isinstance(path, str):
        return path
    if isinstance(path, bytes):
        return path.decode()
    raise UsageTypeError(f'the method is {path!r}; give its path: "/package.Service/Method"')


def _check_listeners(breaker_listeners: Any, on_event: Any) -> None:
    if isinstance(breaker_listeners, (str, bytes)) or not isinstance(breaker_listeners, Iterable):
        raise UsageTypeError(f"breaker_listeners={breaker_listeners!r} is no sequence; give a list of listeners")
    if on_event is None:
        return
    if not callable(on_event):
        raise UsageTypeError(f"on_event={on_event!r} cannot be called; give a function of one argument, the event")
    if inspect.iscoroutinefunction(on_event):
        raise UsageTypeError(
            f"on_event={on_event!r} is a coroutine function, and nobody would await it; give a plain function, which "
            "may start a task"
        )


def _check_storage(breaker_storage: Any) -> None:
    if breaker_storage is None:
        return
    if not callable(breaker_storage) or inspect.iscoroutinefunction(breaker_storage):
        raise UsageTypeError(
            f"breaker_storage={breaker_storage!r} makes no storages; give a plain function from an endpoint's address "
            "to a new aiobreaker.CircuitBreakerStorage, as lambda address: CircuitRedisStorage(...)"
        )


def _check_options(options: Any) -> None:
    if isinstance(options, (str, bytes, Mapping)) or not isinstance(options, Sequence):
        hint = (
            "tuple(options.items())" if isinstance(options, Mapping) else '(("grpc.keepalive_time_ms", 60_000),), or ()'
        )
        raise UsageTypeError(f"options={options!r} is no sequence of pairs; give {hint}")
    for at, pair in enumerate(options):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise UsageTypeError(
                f'options[{at}] is {pair!r}, and no pair; give (name, value), as ("grpc.enable_retries", 1)'
            )
        name, value = pair
        if not isinstance(name, (str, bytes)):
            raise UsageTypeError(f"options[{at}]: the name {name!r} is no text")
        if value is None or isinstance(value, (tuple, list, Mapping)):
            raise UsageTypeError(f"options: {name!r} is {value!r}; grpc takes whole numbers and texts")
        if isinstance(value, int) and not -_MOST <= value <= _MOST:
            raise UsageValueError(f"options: {name!r} is {value}; grpc takes whole numbers of 32 bits, up to {_MOST}")
        if name == "grpc.service_config":
            _check_service_config(value)


def _check_service_config(value: Any) -> None:
    """A bad one would fail every call, with INVALID_ARGUMENT."""
    try:
        found = json.loads(value)
    except (TypeError, ValueError) as error:
        raise UsageValueError(f"options: 'grpc.service_config' is no JSON ({error}); every call would fail") from None
    if not isinstance(found, dict):
        raise UsageValueError("options: 'grpc.service_config' is no JSON object; every call would fail")
