"""Where data lives on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def data_dir() -> Path:
    """The root of all data: KIT_DATA_DIR, else the platform's user data folder. Made if missing."""
    configured = os.environ.get("KIT_DATA_DIR")
    path = (
        Path(configured).expanduser()
        if configured
        else platformdirs.user_data_path("grpc-service-kit", appauthor=False)
    )
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path.resolve()
