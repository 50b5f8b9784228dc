"""One `loganalyzer up` a data folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.cli.gateway import GatewayError


@contextlib.contextmanager
def held(path: Path, about: dict[str, Any]) -> Iterator[None]:
    """Holds the lock at `path` and leaves `about` in it for whoever comes second; GatewayError for that one.

    The kernel frees the lock when its holder ends, however it ends; the file stays, and means nothing by itself.
    """
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GatewayError(_refusal(path)) from None
        file.seek(0)
        file.truncate()
        json.dump({"pid": os.getpid(), **about}, file)
        file.flush()
        yield


def _refusal(path: Path) -> str:
    try:
        other = json.loads(path.read_text())
        who = f"as process {other['pid']}, at {other['url']}"
    except (ValueError, KeyError, TypeError):
        who = "in another process"
    return f"`loganalyzer up` is running on {path.parent} already, {who}; stop that one, or choose another --data-dir"
