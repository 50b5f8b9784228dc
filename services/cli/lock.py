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

    GatewayError as well where the folder cannot be written to. The kernel frees the lock when its holder ends, however
    it ends; the file stays, and means nothing by itself.
    """
    with contextlib.ExitStack() as stack:
        # What is done under the lock is not in here: its failures are its own.
        try:
            file = stack.enter_context(path.open("a+"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.seek(0)
            file.truncate()
            json.dump({"pid": os.getpid(), **about}, file)
            file.flush()
        except BlockingIOError:
            raise GatewayError(_refusal(path)) from None
        except OSError as error:
            raise GatewayError(
                f"{path.parent} cannot be written to: {error.strerror}; choose another --data-dir"
            ) from error
        yield


def _refusal(path: Path) -> str:
    try:
        other = json.loads(path.read_text())
        who = f"as process {other['pid']}, at {other['url']}"
    except (OSError, ValueError, KeyError, TypeError):
        who = "in another process"
    return f"`loganalyzer up` is running on {path.parent} already, {who}; stop that one, or choose another --data-dir"
