"""The product as a user runs it: `loganalyzer up` as a process, spoken to over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psutil

from tests.datafiles import ROOT

JSON = dict[str, Any]


def wait_until(condition: Any, *, seconds: float, what: str) -> Any:
    """Polls until the condition is true and gives its value; fails with `what` when the time is up."""
    deadline = time.monotonic() + seconds
    tick = _Tick()
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        tick.wait()


class _Tick:
    """A pause that lets other processes run: a wait for a descriptor that never becomes ready."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def wait(self) -> None:
        import select

        select.select([self._read], [], [], 0.05)

    def __del__(self) -> None:
        os.close(self._read)
        os.close(self._write)


@dataclass(kw_only=True)
class Product:
    """One running product."""

    data_dir: Path
    args: list[str] = field(default_factory=list)
    env: Mapping[str, str] = field(default_factory=dict)
    #: Put before the command.
    prefix: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    http: httpx.Client | None = None
    _tree: list[psutil.Process] = field(default_factory=list)

    def start(self) -> Product:
        command = [sys.executable, "-P", "-m", "services.cli", "up", "--port", "0", "--data-dir", str(self.data_dir)]
        environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos' / 'gen'}",
            **self.env,
        }
        environment.pop("KIT_DATA_DIR", None)
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, *command, *self.args],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        address = wait_until(self._gateway_address, seconds=60, what="the gateway is registered")
        self._connect(address)
        wait_until(self._ready, seconds=60, what="the gateway is ready")
        wait_until(self._has_default, seconds=30, what="the default workspace exists")
        return self

    def _connect(self, address: str) -> None:
        if self.http is not None:
            self.http.close()
        self.http = httpx.Client(base_url=f"http://{address}", timeout=60)

    @property
    def log_path(self) -> Path:
        return self.data_dir / "up.out"

    @property
    def client(self) -> httpx.Client:
        assert self.http is not None
        return self.http

    def _gateway_address(self) -> str | None:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"`up` ended with {self.process.returncode}:\n{self.log_path.read_text()[-4000:]}")
        return self.address_of("gateway")

    def address_of(self, service: str) -> str | None:
        from kit.discovery import Registry

        found = Registry(self.data_dir / "run" / "registry").lookup(service)
        return found[0].address if found else None

    def pid_of(self, service: str) -> int | None:
        from kit.discovery import Registry

        found = Registry(self.data_dir / "run" / "registry").lookup(service)
        return found[0].pid if found else None

    def _ready(self) -> bool:
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def _has_default(self) -> bool:
        try:
            return self.client.get("/v1/workspaces/default").status_code == 200
        except httpx.TransportError:
            return False

    def processes(self) -> list[psutil.Process]:
        assert self.process is not None
        try:
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def stop(self, sig: int = signal.SIGINT) -> int:
        """Sends the signal to the parent, waits, and asserts that no process of it is left. Gives the exit code."""
        assert self.process is not None
        tree = self.processes()
        if self.process.poll() is None:
            self.process.send_signal(sig)
        code = self.process.wait(timeout=40)
        if self.http is not None:
            self.http.close()
        _, alive = psutil.wait_procs(tree, timeout=10)
        for process in alive:
            process.kill()
        assert not alive, f"left running: {alive}"
        return code

    # What users do.

    def create_workspace(self, workspace: str) -> str:
        answer = self.client.post("/v1/workspaces", params={"workspaceId": workspace}, json={"displayName": workspace})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["name"])

    def start_import(self, *paths: Path | str, workspace: str = "workspaces/default") -> JSON:
        answer = self.client.post(f"/v1/{workspace}/imports", json={"sources": [{"path": str(path)} for path in paths]})
        assert answer.status_code == 200, answer.text
        result: JSON = answer.json()
        return result

    def wait_for_import(self, name: str, *, seconds: float = 600) -> JSON:
        """Polls, and so bears restarts of the gateway and of the importer."""

        def ended() -> JSON | None:
            try:
                answer = self.client.get(f"/v1/{name}")
            except httpx.TransportError:
                self._connect(self.address_of("gateway") or "localhost:1")
                return None
            if answer.status_code != 200:
                assert answer.status_code in {503, 504, 500, 502}, answer.text
                return None
            state: JSON = answer.json()
            return state if state["state"] in {"SUCCEEDED", "FAILED", "CANCELLED"} else None

        result: JSON = wait_until(ended, seconds=seconds, what=f"{name} has ended")
        return result

    def import_all(self, *paths: Path | str, workspace: str = "workspaces/default", seconds: float = 600) -> JSON:
        return self.wait_for_import(self.start_import(*paths, workspace=workspace)["name"], seconds=seconds)

    def search(self, query: str, workspace: str = "workspaces/default", **params: Any) -> httpx.Response:
        return self.client.get(f"/v1/{workspace}/logs:search", params={"query": query, **params})

    def stream(self, query: str, workspace: str = "workspaces/default", **params: Any) -> Iterator[JSON]:
        """The messages of the NDJSON stream."""
        url = f"/v1/{workspace}/logs:search"
        with self.client.stream(
            "GET", url, params={"query": query, **params}, headers={"accept": "application/x-ndjson"}
        ) as answer:
            assert answer.status_code == 200, answer.read()
            rest = b""
            for chunk in answer.iter_bytes():
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (json.loads(line) for line in lines if line.strip())
            assert not rest.strip(), "the stream ends with a line feed"

    def hits(self, query: str, workspace: str = "workspaces/default", **params: Any) -> tuple[list[JSON], int]:
        """All hits of the stream and the total that it gives at its end."""
        hits: list[JSON] = []
        total = -1
        for message in self.stream(query, workspace, **params):
            assert "error" not in message, message
            hits += message.get("hits", {}).get("hits", [])
            if "done" in message:
                total = int(message["done"]["totalSize"])
        return hits, total


def context_url(workspace: str, hit: JSON) -> str:
    return f"/v1/{workspace}/logs/{quote(hit['id'])}:context"
