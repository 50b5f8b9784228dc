"""What the importer can be told, and the environment variables that tell it."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import kit
from kit.errors import ConfigurationError
from services.importer.roots import Roots

UPLOAD_BYTES = 10 << 30
SEARCH = "local:///search"
WORKSPACE = "local:///workspace"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Settings of the importer service. Where it listens is `kit.Server`'s matter (KIT_LISTEN)."""

    #: Folder of the database and of uploads, and folder of all splits. They are made.
    folder: Path
    splits: Path
    #: KIT_IMPORT_ROOTS: which paths may be imported.
    roots: Roots
    #: KIT_IMPORT_WORKERS: processes that read. None: as many as the cores and the free memory allow (sizing.py).
    workers: int | None = None
    #: KIT_IMPORT_MAX_UPLOAD_BYTES
    upload_bytes: int = UPLOAD_BYTES
    #: KIT_TARGET_SEARCH and KIT_TARGET_WORKSPACE
    search_target: str = SEARCH
    workspace_target: str = WORKSPACE

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Config:
        """Reads KIT_DATA_DIR (by way of `kit.data_dir`), KIT_LISTEN and those named above.

        Raises ConfigurationError.
        """
        data = kit.data_dir()
        roots = Roots.parse(environ.get("KIT_IMPORT_ROOTS", ""))
        if roots.everything and not _is_loopback(environ.get("KIT_LISTEN") or "127.0.0.1:0"):
            raise ConfigurationError(
                'KIT_IMPORT_ROOTS is "*", which is for an importer that listens on loopback only: list the folders'
            )
        return cls(
            folder=data / "importer",
            splits=data / "splits",
            roots=roots,
            workers=_positive(environ, "KIT_IMPORT_WORKERS", 0) or None,
            upload_bytes=_positive(environ, "KIT_IMPORT_MAX_UPLOAD_BYTES", UPLOAD_BYTES),
            search_target=environ.get("KIT_TARGET_SEARCH") or SEARCH,
            workspace_target=environ.get("KIT_TARGET_WORKSPACE") or WORKSPACE,
        )


def _positive(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ConfigurationError(f"{name} must be a whole number from 1, is {text!r}")
    return int(text)


def _is_loopback(listen: str) -> bool:
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
