"""What every verb takes that asks for lines: the query, the times, the order."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from services.cli import times
from services.cli.quantities import seconds_of

#: What is in quotes or slashes, and a sign before a word elsewhere.
_SIGNED = re.compile(r'"(?:\\.|[^"\\])*"|(?<![^\s(:])/(?:\\.|[^/\\])*/|(?:^|(?<=[\s(]))([-!])(\w+)')
ORDERS = {"newest": "timestamp desc", "oldest": "timestamp"}


def hint(query: str) -> str:
    """What to say of `-word` and `!word`, which other languages exclude lines with; "" where there is none."""
    found = next((match for match in _SIGNED.finditer(query) if match[1]), None)
    return "" if found is None else f"{found[0]} means the word {found[2]}; to leave its lines out: NOT {found[2]}"


def _hinted(_: click.Context, __: click.Parameter, query: str) -> str:
    if said := hint(query):
        click.echo(f"loganalyzer: {said}", err=True)
    return query


def _instant(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else times.parse(value, datetime.now(UTC))
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is no time: give 2024-01-31, 2024-01-31T12:00:00Z, or how long ago: 15m, 2h, 3d"
        ) from None


def _ago(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else times.rfc3339(datetime.now(UTC) - timedelta(seconds=seconds_of(value)))
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is no length of time: give 30s, 15m, 2h, 3d or 1w") from None


def time_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--last, --since and --until. The command gets them as `when`: parameters of a request."""

    @functools.wraps(command)
    def gathered(*args: Any, last: str | None, since: str | None, until: str | None, **more: Any) -> Any:
        if last is not None and since is not None:
            raise click.UsageError("--last and --since exclude each other")
        begin = since if last is None else last
        if begin and until and datetime.fromisoformat(begin) > datetime.fromisoformat(until):
            raise click.UsageError(f"{'--since' if last is None else '--last'} must not begin after --until")
        bounds = {"startTime": begin, "endTime": until}
        return command(*args, when={name: value for name, value in bounds.items() if value is not None}, **more)

    options = (
        click.option("--last", callback=_ago, metavar="SPAN", help="Only lines of the last 15m, 2h, 3d, 1w."),
        click.option(
            "--since",
            callback=_instant,
            metavar="TIME",
            help="Only lines from then on: 2024-01-31T12:00Z, 15m, 2h, 3d.",
        ),
        click.option("--until", callback=_instant, metavar="TIME", help="Only lines before then."),
    )
    found: Callable[..., Any] = gathered
    for option in reversed(options):
        found = option(found)
    return found


query_argument = click.argument("query", default="", callback=_hinted)
order_option = click.option("--order", type=click.Choice(sorted(ORDERS)), default="newest", show_default=True)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one message on a line.")
