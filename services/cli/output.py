"""Standard output: whether it is a terminal, and what happens when its reader goes away."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import click


def colourful() -> bool:
    """Standard output is a terminal and NO_COLOR is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def say(line: str) -> None:
    """Prints a line if anybody can read it: what runs must not stop because its terminal is gone."""
    with contextlib.suppress(OSError):
        click.echo(line)


@contextlib.contextmanager
def quiet_when_closed() -> Iterator[None]:
    """Ends the command well, without a word, when the reader of its output has gone (`loganalyzer search x | head`)."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would be written, and fail, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
