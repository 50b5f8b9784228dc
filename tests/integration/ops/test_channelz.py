"""grpc core's own view of the process, where the package that serves it is installed."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from tests.integration.ops.shop import shop

pytest.importorskip("grpc_channelz", reason="the extra `channelz` is not installed")


async def test_sockets_and_servers_of_grpc_are_told_where_the_process_tells_of_itself() -> None:
    from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc

    async with shop() as it:
        assert await it.buy() is grpc.StatusCode.OK
        stub: Any = channelz_pb2_grpc.ChannelzStub(it.channel)
        servers = (await stub.GetServers(channelz_pb2.GetServersRequest())).server
        assert sum(server.data.calls_succeeded for server in servers) >= 2
        channels = (await stub.GetTopChannels(channelz_pb2.GetTopChannelsRequest())).channel
        assert any(it.store.address in channel.data.target for channel in channels)


async def test_a_server_that_tells_nothing_does_not_tell_this() -> None:
    from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc

    async with shop(admin=False) as it:
        stub: Any = channelz_pb2_grpc.ChannelzStub(it.channel)
        call = stub.GetServers(channelz_pb2.GetServersRequest())
        assert await call.code() is grpc.StatusCode.UNIMPLEMENTED
