"""The times that --since and --until take."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"(\d{1,6})\s*(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse(text: str, now: datetime) -> str:
    """An instant as RFC 3339 in UTC.

    Takes a date, a date and time (UTC where no zone is given, as log times are read), or how long ago: 30s, 15m, 2h,
    3d, 1w. ValueError for anything else.
    """
    text = text.strip()
    if ago := _AGO.fullmatch(text):
        instant = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    else:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=UTC)
    return rfc3339(instant)


def rfc3339(instant: datetime) -> str:
    """An instant with a zone, in UTC."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
