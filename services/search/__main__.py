"""`python -m services.search`: runs the search service, configured by its environment."""

import sys

import kit
from services.search.app import build
from services.search.config import Config

#: Seconds that a thread which computes keeps the interpreter when another wants it: the event loop has a fifth as long
#: to wait as by default.
SWITCH_SECONDS = 0.001

if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_SECONDS)
    raise SystemExit(kit.run(lambda: build(Config.from_env()), argv=sys.argv[1:]))
