"""Where data lives on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from kit.errors import ConfigurationError


def data_dir() -> Path:
    """The root of all data: KIT_DATA_DIR, else the platform's user data folder. Made if missing.

    Raises ConfigurationError where it cannot be made.
    """
    configured = os.environ.get("KIT_DATA_DIR")
    path = (
        Path(configured).expanduser()
        if configured
        else platformdirs.user_data_path("grpc-service-kit", appauthor=False)
    )
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"the data folder {path} cannot be made: {error.strerror}; KIT_DATA_DIR names another"
        ) from error
    return path.resolve()
