"""A PostgreSQL of the tests' own: in a temporary folder, on a Unix socket there, gone when the tests end."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Postgres", "postgres"]

#: Seconds that a start and a stop may take on a busy machine.
PATIENCE = 60.0
USER = "kit"


class Postgres:
    """A server that can be stopped and started. Each database is new."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)
        # It refuses to be run by root.
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = _account()
            os.chown(folder, account.pw_uid, account.pw_gid)
            self._as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self._run("initdb", "-D", str(folder / "data"), "-U", USER, "--auth=trust", "--encoding=UTF8", "--no-sync")

    def start(self) -> None:
        """Returns when it answers."""
        command = [str(self._binaries / "postgres"), "-D", str(self._folder / "data"), "-k", str(self._folder)]
        # Nothing but a loss of power needs what `fsync` does.
        command += ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._as,
            )
        until = time.monotonic() + PATIENCE
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > until:
                raise AssertionError((self._folder / "log").read_text("utf-8"))
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends its connections and writes everything down; SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def new_database(self) -> str:
        """The URL of an empty one."""
        name = f"test{next(self._names)}"
        self._run("createdb", "-h", str(self._folder), "-U", USER, name)
        return f"postgresql://{USER}@/{name}?host={self._folder}"

    def _ready(self) -> bool:
        command = [str(self._binaries / "pg_isready"), "-q", "-h", str(self._folder), "-U", USER]
        return subprocess.run(command, check=False).returncode == 0

    def _run(self, tool: str, *arguments: str) -> None:
        command = [str(self._binaries / tool), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self._folder, check=False, **self._as)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One for all tests, running."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="kit-postgres-"))
    try:
        server = Postgres(binaries, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path | None:
    """Where initdb is; Debian keeps it out of PATH."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


def _account() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError("there is no account that PostgreSQL could run under")
