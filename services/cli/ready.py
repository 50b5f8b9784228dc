"""Waiting until what was started can be used, and making it useful: the default workspace and the sample."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import grpc
import grpc.aio
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit.discovery import Instance, Registry
from kit.health import LIVENESS, READINESS
from services.cli import leftovers
from services.cli.plan import EVERYTHING, GATEWAY

#: Seconds between two looks.
LOOK = 0.05
DEFAULT_WORKSPACE = "default"
_ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
_BASE = f"/v1/workspaces/{DEFAULT_WORKSPACE}"


async def gone(registry: Registry, children_file: Path) -> None:
    """Returns when no process of an earlier run is left."""
    while still_there(registry, children_file):  # noqa: ASYNC110 - other processes set no Event here
        await asyncio.sleep(LOOK)


def still_there(registry: Registry, children_file: Path) -> dict[str, int]:
    """Process ids, by name, of what is registered or was left by an `up` that was killed."""
    registered = {name: instance.pid for name in EVERYTHING for instance in registry.lookup(name)}
    return leftovers.alive(children_file) | registered


async def all_ready(registry: Registry) -> dict[str, Instance]:
    """Returns one live instance of each of EVERYTHING when all of them say that they are ready."""
    found = await asyncio.gather(*(_ready(registry, name) for name in EVERYTHING))
    return dict(zip(EVERYTHING, found, strict=True))


async def _ready(registry: Registry, name: str) -> Instance:
    while True:
        for instance in registry.lookup(name):
            if await (_http_well(instance, "readyz") if name == GATEWAY else _grpc_well(instance, READINESS)):
                return instance
        await asyncio.sleep(LOOK)


async def alive(registry: Registry, name: str, timeout: float = 5.0) -> bool:
    """Whether the process answers at all within `timeout` seconds; one that is not registered does not."""
    for instance in registry.lookup(name):
        if name == GATEWAY:
            return await _http_well(instance, "livez", timeout)
        return await _grpc_well(instance, LIVENESS, timeout)
    return False


async def _grpc_well(instance: Instance, service: str, timeout: float = 2.0) -> bool:
    async with grpc.aio.insecure_channel(instance.address) as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=timeout
            )
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def _http_well(instance: Instance, page: str, timeout: float = 2.0) -> bool:
    async with httpx.AsyncClient(trust_env=False, timeout=timeout) as client:
        try:
            answer = await client.get(f"http://{instance.address}/{page}")
        except httpx.HTTPError:
            return False
        return answer.is_success


async def make_default_workspace(door: httpx.AsyncClient) -> None:
    """Makes workspaces/default unless it is there. httpx.HTTPError where that fails."""
    answer = await door.post(
        "/v1/workspaces", params={"workspaceId": DEFAULT_WORKSPACE}, json={"displayName": "Default"}
    )
    if answer.status_code != httpx.codes.CONFLICT:
        answer.raise_for_status()


async def import_sample(door: httpx.AsyncClient, sample: Path) -> Mapping[str, object] | None:
    """Imports the sample and returns the ended import; None where the workspace has had an import before."""
    had = await door.get(f"{_BASE}/imports", params={"pageSize": 1})
    if had.raise_for_status().json().get("imports"):
        return None
    answer = await door.post(f"{_BASE}/imports", json={"sources": [{"path": str(sample)}]})
    message: dict[str, object] = answer.raise_for_status().json()
    while message["state"] not in _ENDED:
        await asyncio.sleep(LOOK)
        message = (await door.get(f"/v1/{message['name']}")).raise_for_status().json()
    return message
