"""`python -m services.cache`: runs the cache service, configured by its environment."""

import sys

import kit
from services.cache.app import build
from services.cache.config import Config

if __name__ == "__main__":
    raise SystemExit(kit.run(lambda: build(Config.from_env()), argv=sys.argv[1:]))
