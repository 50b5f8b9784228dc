"""`kit call`: what a server offers is found by reflection."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from kit import events
from kit.errors import FieldViolation, InvalidArgument
from kit.events import MemoryBus
from kit.server import Server
from kitapi.v1 import events_pb2
from loganalyzer.importer.v1 import importer_pb2, importer_pb2_grpc
from tests.integration.cli.program import ask, kit
from tests.integration.ops.shop import shop


async def test_methods_are_listed_and_called_by_as_much_of_their_name_as_is_clear() -> None:
    async with shop() as it:
        address = it.server.address
        listed, unary, streamed = await asyncio.gather(
            ask("call", address),
            ask("call", address, "OpsService/GetProcess"),
            ask("call", address, "kitapi.v1.OpsService/ListCalls", '{"pageSize": 1}', "--compact"),
        )
        assert listed.code == 0, listed.err
        assert (
            "kitapi.v1.OpsService/WatchEvents (kitapi.v1.WatchEventsRequest) returns (stream kitapi.v1.Event)"
            in listed.out.splitlines()
        )
        assert "shop.v1.Shop (not described)" in listed.out.splitlines()
        assert "grpc.health.v1.Health/Check (grpc.health.v1.HealthCheckRequest)" in listed.out
        assert unary.code == 0, unary.err
        process = json.loads(unary.out)
        assert (process["name"], process["pid"], process["draining"]) == ("shop", os.getpid(), False)
        assert len(streamed.out.splitlines()) == 1


async def test_streamed_answers_are_printed_one_by_one() -> None:
    async with shop() as it:
        with events.use(MemoryBus()):
            for number in range(3):
                events.publish(events_pb2.CacheHit(key=str(number)), subject="caches/a")
            request = '{"onlyPast": true, "afterSequence": 1}'
            said = await ask("call", it.server.address, "OpsService/WatchEvents", request, "--compact")
        assert said.code == 0, said.err
        found = [json.loads(line) for line in said.out.splitlines()]
        assert [(one["sequence"], one["payload"]["key"]) for one in found] == [("2", "1"), ("3", "2")]


class Recorder(grpc.aio.ServerInterceptor):
    """Keeps what came along with the last call."""

    def __init__(self) -> None:
        self.metadata: dict[str, str] = {}

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        if "Importer" in details.method:
            self.metadata = {key: value for key, value in details.invocation_metadata if isinstance(value, str)}
        return await continuation(details)


class Importer(importer_pb2_grpc.ImporterServiceServicer):
    """Has an import of any name but one."""

    async def GetImport(self, request: Any, context: Any) -> Any:
        remaining = context.time_remaining()
        if request.name == "wrong":
            raise InvalidArgument("no such thing", violations=[FieldViolation("name", "must be imports/*")])
        return importer_pb2.Import(name=f"{request.name} {0 < remaining <= 4.1}")


async def test_metadata_and_the_deadline_go_along_and_details_of_an_error_are_printed(tmp_path: Path) -> None:
    recorder = Recorder()
    server = Server("importer", register=False, grace=0.0, interceptors=(recorder,))
    importer: Any = Importer
    server.add(importer(), importer_pb2_grpc.add_ImporterServiceServicer_to_server)
    (tmp_path / "request.json").write_text('{"name": "imports/1"}')
    async with server:
        arguments = ("call", server.address, "ImporterService/GetImport")
        good = await kit(*arguments, f"@{tmp_path / 'request.json'}", "-H", "X-Who: me", "--timeout", "4")
        assert recorder.metadata["x-who"] == "me"
        wrong, no_json, no_message, no_object, nothing, no_method, no_name = await asyncio.gather(
            ask(*arguments, '{"name": "wrong"}'),
            ask(*arguments, "{name"),
            ask(*arguments, '{"nome": "a"}'),
            ask(*arguments, "5"),
            ask("call", server.address, "Nobody/Get"),
            ask("call", server.address, "ImporterService/GetImports"),
            ask("call", server.address, "Get"),
        )
    assert good.code == 0, good.err
    assert json.loads(good.out)["name"] == "imports/1 True"
    assert wrong.code == 1
    assert "INVALID_ARGUMENT: no such thing" in wrong.err
    assert "name: must be imports/*" in wrong.err
    assert (no_object.code, "the request is no " in no_object.err) == (1, True)
    assert (no_json.code, no_message.code, nothing.code, no_method.code, no_name.code) == (1, 1, 1, 1, 2)
    assert "the request is no JSON" in no_json.err
    assert "nome" in no_message.err
    assert "the server has no service Nobody" in nothing.err
    assert "GetImport" in no_method.err
    for said in (wrong, no_json, no_message, no_object, nothing, no_method, no_name):
        assert "Traceback" not in said.err


async def test_a_server_without_reflection_says_so() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        said = await ask("call", f"127.0.0.1:{port}", "a.B/C")
    finally:
        await server.stop(0)
    assert said.code == 1
    assert "no reflection" in said.err
