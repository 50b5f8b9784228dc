"""Policy from a TOML file.

    ["/loganalyzer.search.v1.SearchService/Search"]
    timeout = "2s"                                  # or a number of seconds
    retry = { max_attempts = 4, initial_backoff = "50ms", retryable_status_codes = ["UNAVAILABLE", "ABORTED"] }

    ["/loganalyzer.search.v1.SearchService/*"]      # every method of a service
    preset = "production"

    ["*"]                                           # every method there is
    per_try_timeout = 10

Field names are those of kitapi.v1.MethodPolicy, and `idempotency_level` for methods without a descriptor. The nearest
table wins, leaf by leaf.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from google.rpc import code_pb2

from kit.errors import PolicyError
from kit.policy.leaves import ENFORCED, Leaves, check
from kit.policy.model import DownstreamCall, IdempotencyLevel, Preset
from kit.policy.times import A_TIME, seconds_of
from kit.policy.unenforced import reason
from kit.resilience.backoff import Jitter
from kit.resilience.balance import BalanceKind
from kit.resilience.breaker_rules import BreakerKind
from kit.resilience.idempotency import IdempotencyKeyMode
from kit.resilience.priority import Priority

__all__ = ["Stamp", "is_key", "load", "stamp_of"]

#: What tells whether a file is another one than before: time of change, size, and inode, for a name that was given to
#: another file (as Kubernetes does with a ConfigMap).
Stamp: TypeAlias = tuple[int, int, int]

_KEY = re.compile(r"\*|/[\w.]+/(?:\*|\w+)")
_ENUMS = {
    "preset": Preset,
    "retry.jitter": Jitter,
    "breaker.kind": BreakerKind,
    "balance.kind": BalanceKind,
    "idempotency_level": IdempotencyLevel,
    "idempotency_key.mode": IdempotencyKeyMode,
    "priority": Priority,
}
#: The last part of leaves that are times, and of those that need not be whole numbers.
_TIMES = frozenset(
    {
        "timeout",
        "per_try_timeout",
        "initial_backoff",
        "max_backoff",
        "hedging_delay",
        "window",
        "open_for",
        "slow_call",
        "lease",
        "interval",
        "base_ejection_time",
        "slow_start",
        "ttl",
        "cached_for",
    }
)
_FRACTIONS = frozenset(
    {
        "backoff_multiplier",
        "delay_quantile",
        "max_tokens",
        "token_ratio",
        "ratio",
        "min_per_second",
        "per_second",
        "failure_rate",
        "slow_call_rate",
    }
)
_FLAGS = frozenset({"adaptive", "public"})
_TEXTS = frozenset({"fallback.method", "fallback.default_json"})
_LISTS = frozenset({"auth.scopes", "auth.roles"})


def is_key(key: str) -> bool:
    """Whether it names methods: "/package.Service/Method", "/package.Service/*" or "*"."""
    return _KEY.fullmatch(key) is not None


def load(path: str | Path) -> Mapping[str, Leaves]:
    """The tables of the file, each by its key. Raises PolicyError for a file that is missing or wrong."""
    try:
        return _load(Path(path), stamp_of(path))
    except OSError as error:
        raise PolicyError("", "", f"{path}: {error.strerror or error}") from error


def stamp_of(path: str | Path) -> Stamp:
    """The file's stamp as of now. Raises OSError."""
    found = Path(path).stat()
    return (found.st_mtime_ns, found.st_size, found.st_ino)


@functools.lru_cache(maxsize=8)
def _load(file: Path, _stamp: Stamp) -> Mapping[str, Leaves]:
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError("", "", f"{file}: not a TOML file: {error}") from error
    found: dict[str, Leaves] = {}
    for key, table in tables.items():
        if not is_key(key) or not isinstance(table, dict):
            raise PolicyError(key, "", f'{file}: a table ["/package.Service/Method"], ["/package.Service/*"] or ["*"]')
        found[key] = _leaves(key, table)
        check(key, found[key])
    return found


def _leaves(key: str, table: Mapping[str, Any], prefix: str = "") -> Leaves:
    found: Leaves = {}
    for field, value in table.items():
        name = prefix + field
        if name in ENFORCED:
            found[name] = _value(key, name, value)
        elif any(leaf.startswith(f"{name}.") for leaf in ENFORCED):
            if not isinstance(value, dict):
                raise PolicyError(key, name, f"must be a table of its fields, {name} = {{ ... }}, not {value!r}")
            found |= _leaves(key, value, f"{name}.")
        else:
            raise PolicyError(key, name, reason(name, ENFORCED))
    return found


def _value(key: str, name: str, value: Any) -> Any:
    if name in _ENUMS:
        return _member(key, name, value)
    if name == "downstream":
        try:
            return tuple(DownstreamCall(**call) for call in value)
        except TypeError as error:
            raise PolicyError(key, name, "a list of { method, times, parallel }") from error
    if name.endswith("status_codes"):
        if not isinstance(value, list):
            raise PolicyError(key, name, "a list of names of status codes")
        return frozenset(_code(key, name, code) for code in value)
    if name in _LISTS:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise PolicyError(key, name, f"must be a list of texts, not {value!r}")
        return tuple(value)
    if name in _TEXTS:
        if not isinstance(value, str):
            raise PolicyError(key, name, f"must be a text, not {value!r}")
        return value
    last = name.rpartition(".")[2]
    if last in _TIMES:
        return _seconds(key, name, value)
    if last in _FLAGS:
        if not isinstance(value, bool):
            raise PolicyError(key, name, f"must be true or false, not {value!r}")
        return value
    wanted: type | tuple[type, ...] = (int, float) if last in _FRACTIONS else int
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise PolicyError(key, name, f"must be a {'whole ' if wanted is int else ''}number, not {value!r}")
    return value


def _member(key: str, name: str, value: Any) -> Any:
    kind = _ENUMS[name]
    try:
        return kind[str(value).upper()]
    except KeyError as error:
        names = ", ".join(member.name.lower() for member in kind)
        raise PolicyError(key, name, f"one of {names}, not {value!r}") from error


def _code(key: str, name: str, value: Any) -> int:
    try:
        number = code_pb2.Code.Value(str(value).upper())
    except ValueError as error:
        raise PolicyError(key, name, f"{value!r} is not a status code") from error
    if number == 0:
        raise PolicyError(key, name, "OK is not a failure")
    return int(number)


def _seconds(key: str, name: str, value: Any) -> float:
    found = seconds_of(value)
    if found is None:
        raise PolicyError(key, name, f"{A_TIME}, not {value!r}")
    return found
