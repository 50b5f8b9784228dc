"""`python -m services.search`: runs the search service, configured by its environment."""

import sys

import kit
from services.search.app import build
from services.search.config import Config

if __name__ == "__main__":
    raise SystemExit(kit.run(lambda: build(Config.from_env()), argv=sys.argv[1:]))
