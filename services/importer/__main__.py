"""`python -m services.importer`: runs the importer service, configured by its environment."""

import sys

import kit
from services.importer.app import build
from services.importer.config import Config

if __name__ == "__main__":
    raise SystemExit(kit.run(lambda: build(Config.from_env()), argv=sys.argv[1:]))
