"""Standard output: whether it is a terminal, and what happens when its reader goes away."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Self

import click

#: Seconds between two texts in one line.
_SHOWN_EVERY = 0.1


def colourful() -> bool:
    """Standard output is a terminal and NO_COLOR is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


class Line:
    """One line on standard error that is written over; nothing where that is no terminal."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self._open = False
        self._shown = -math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, text: str) -> None:
        """Puts the text in the place of what is there, cut to the terminal's width; not too often to be read."""
        now = time.monotonic()
        if self.live and now - self._shown >= _SHOWN_EVERY:
            self._shown = now
            width = shutil.get_terminal_size().columns - 1
            click.echo(f"\r\x1b[K{text[:width]}", nl=False, err=True)
            self._open = True

    def clear(self) -> None:
        """Takes it away."""
        if self._open:
            click.echo("\r\x1b[K", nl=False, err=True)
            self._open = False


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
