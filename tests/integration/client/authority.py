"""A certificate authority of a test, by the openssl binary."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def openssl(*arguments: object) -> None:
    """Runs it; skips the test where there is none."""
    binary = shutil.which("openssl")
    if binary is None:
        pytest.skip("the openssl binary is not installed")
    subprocess.run([binary, *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """Signs certificates. Its own is `root`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._key, self.root = folder / f"{name}.key", folder / f"{name}.pem"
        openssl("req", "-x509", *_KEY, "-keyout", self._key, "-out", self.root, "-subj", f"/CN={name}", "-days", 2)

    def issue(self, folder: Path, name: str, *, days: int = 2) -> Path:
        """Puts tls.key and tls.crt for `name` (and 127.0.0.1) into the folder, as Kubernetes names them."""
        folder.mkdir(parents=True, exist_ok=True)
        request, extensions = folder / "request", folder / "extensions"
        extensions.write_text(f"subjectAltName=DNS:{name},IP:127.0.0.1\n")
        openssl("req", "-new", *_KEY, "-keyout", folder / "tls.key", "-out", request, "-subj", f"/CN={name}")
        signed = ["-in", request, "-CA", self.root, "-CAkey", self._key, "-extfile", extensions, "-days", days]
        openssl("x509", "-req", *signed, "-out", folder / "tls.crt")
        return folder
