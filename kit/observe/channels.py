"""Channels: kinds of log lines that different people read, each of which can go its own way.

access      one line for each call that was served
error       defects: what crashed, under the id that the caller was given
audit       who did what: decisions on who may do something, and what was changed
business    what happened in the terms of the service: orders placed, files imported

A line of the channel "audit" goes through the logger `kit.audit` and has the field `channel`. Without further ado it is
in the process's log. `KIT_LOG_AUDIT` sends it elsewhere: "off", "on" (also "stderr": the process's log), or a path; and
`KIT_LOG_AUDIT_LEVEL` sets the least level. So it is for the other channels. A file is opened again once it has been
renamed, within a second or at a SIGHUP.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import structlog

from kit.errors import ConfigurationError, UsageValueError

__all__ = ["ACCESS", "AUDIT", "BUSINESS", "CHANNELS", "ERROR", "Route", "channel", "route_of", "write"]

ACCESS, ERROR, AUDIT, BUSINESS = "access", "error", "audit", "business"
CHANNELS = (ACCESS, ERROR, AUDIT, BUSINESS)
#: The channel of a logger's lines.
BY_LOGGER = {f"kit.{name}": name for name in CHANNELS}
#: Channels whose lines are dropped last where they come faster than they can be written.
KEPT = frozenset({ERROR, AUDIT})


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Where a channel's lines go, and from which level on."""

    #: The file's; "" for the process's log.
    path: str = ""
    off: bool = False
    level: int = logging.INFO


@cache
def channel(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a channel: `channel("audit").info("key revoked", key_id=...)`. Raises UsageValueError."""
    from kit.observe.logging import get_logger

    if name not in CHANNELS:
        raise UsageValueError(f"channel: {name!r} is none; there are {', '.join(CHANNELS)}")
    return get_logger(f"kit.{name}")


def write(name: str, level: int, event: str, **fields: str | float) -> None:
    """Writes a line of a channel of which there are very many, at a third of what its logger costs.

    Nothing is taken out of the fields: `redacted_text` is for those that somebody else has written.
    """
    from kit.observe import _routing

    _routing.write(name, level, event, fields)


def route_of(name: str, environ: Mapping[str, str] | None = None) -> Route | None:
    """What the environment says of a channel; None where it says nothing. Raises ConfigurationError."""
    env = os.environ if environ is None else environ
    variable = f"KIT_LOG_{name.upper()}"
    wanted, level = env.get(variable, "").strip(), env.get(f"{variable}_LEVEL", "").strip().upper()
    if not wanted and not level:
        return None
    if level and level not in logging.getLevelNamesMapping():
        raise ConfigurationError(f"{variable}_LEVEL: a level is needed, such as INFO or WARNING, not {level!r}")
    number = logging.getLevelNamesMapping()[level] if level else logging.INFO
    if wanted.lower() in ("off", "0", "false", "no"):
        return Route(off=True, level=number)
    if not wanted or wanted.lower() in ("on", "1", "true", "yes", "stderr"):
        return Route(level=number)
    if os.sep not in wanted:
        raise ConfigurationError(f'{variable}: "on", "off" or the path of a file is needed, not {wanted!r}')
    return Route(path=wanted, level=number)
