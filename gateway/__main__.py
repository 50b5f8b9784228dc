"""`python -m gateway [CONFIG]`: serves what a TOML file names, or the log analyzer."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gateway.config import load
from gateway.server import run
from kit.errors import ConfigurationError


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0 after a stop, 1 after a crash, 2 when something is configured wrongly."""
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        sys.stderr.write("usage: python -m gateway [CONFIG.toml]\n")
        return 2
    try:
        config = load(Path(arguments[0]) if arguments else None, os.environ)
    except ConfigurationError as error:
        sys.stderr.write(f"gateway: {error}\n")
        return 2
    return run(config)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
