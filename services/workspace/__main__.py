"""`python -m services.workspace`: runs the workspace service, configured by its environment."""

import sys

import kit
from services.workspace.app import build
from services.workspace.config import Config

if __name__ == "__main__":
    raise SystemExit(kit.run(lambda: build(Config.from_env()), argv=sys.argv[1:]))
