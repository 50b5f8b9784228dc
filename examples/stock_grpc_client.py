"""A plain grpc.aio client: the generated stubs and nothing of the kit.

python examples/stock_grpc_client.py ADDRESS WORKSPACE QUERY
"""

import asyncio
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from loganalyzer.search.v1 import search_pb2, search_pb2_grpc


async def main(address: str, workspace: str, query: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        print("health:", health_pb2.HealthCheckResponse.ServingStatus.Name(health.status))

        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        async for answer in reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([asked])):
            print("services:", ", ".join(service.name for service in answer.list_services_response.service))

        search = search_pb2_grpc.SearchServiceStub(channel)
        page = await search.Search(search_pb2.SearchRequest(parent=workspace, query=query, page_size=3), timeout=10)
        print(page.total_size, "lines match")
        for hit in page.hits:
            print(f"{hit.source}:{hit.line_number}: {hit.text}")

        async for message in search.StreamSearch(search_pb2.SearchRequest(parent=workspace, query=query)):
            if message.HasField("done"):
                print("streamed to the end:", message.done.total_size)

        try:
            await search.Search(search_pb2.SearchRequest(parent="workspaces/nowhere", query=query), timeout=10)
        except grpc.aio.AioRpcError as error:
            print("an unknown workspace:", error.code().name, "-", error.details())


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
