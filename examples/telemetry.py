"""Traces and metrics of two services, one of which calls the other: what a collector and Prometheus get.

python examples/telemetry.py
"""

import asyncio
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import kit
from kit.observe import metrics

ORDERS = metrics.counter("shop.orders", "Orders that were placed.", labels=("kind",))
SAFE = kit.MethodPolicy(
    idempotency_level=kit.IdempotencyLevel.IDEMPOTENT, retry=kit.RetryPolicy(max_attempts=2, initial_backoff=0.01)
)


class Shop:
    """Asks the stock, and counts."""

    def __init__(self, stock: grpc.aio.Channel) -> None:
        self.count: Any = stock.unary_unary("/shop.v1.Stock/Count")  # a generated stub does the same

    async def buy(self, request: bytes, context: Any) -> bytes:
        trace.get_current_span().set_attribute("shop.order", 7)
        ORDERS.add(kind="gift")
        with trace.get_tracer("shop").start_as_current_span("choose the paper"):
            await self.count(b"")
        return b"a book"


class Stock:
    """Fails the first time."""

    def __init__(self) -> None:
        self.asked = 0

    async def count(self, request: bytes, context: Any) -> bytes:
        self.asked += 1
        if self.asked == 1:
            raise kit.errors.Unavailable("the stock is being counted")
        return b"7"


async def main() -> None:
    spans = InMemorySpanExporter()  # in place of a collector
    telemetry = kit.observe.setup("shop", exporter=spans, metrics=True)
    assert telemetry is not None
    stock = kit.Server("stock", listen="127.0.0.1:0", register=False)
    stock.add(None, adding("shop.v1.Stock", "Count", Stock().count))
    async with stock, kit.channel(stock.address, policy=SAFE) as channel:
        shop = kit.Server("shop", listen="127.0.0.1:0", register=False)
        shop.add(None, adding("shop.v1.Shop", "Buy", Shop(channel).buy))
        async with shop, kit.channel(shop.address) as front:
            buy: Any = front.unary_unary("/shop.v1.Shop/Buy")
            await buy(b"")
    telemetry.flush()
    draw(spans.get_finished_spans())
    for line in metrics.exposition().decode().splitlines():
        if line.startswith(
            ("shop_orders_total", "grpc_client_attempt_started_total", "grpc_server_call_started_total")
        ):
            print(line.replace(stock.address, "STOCK").replace(shop.address, "SHOP"))
    telemetry.shutdown()


def draw(spans: Any, parent: int | None = None, depth: int = 0) -> None:
    """The tree of spans."""
    for span in sorted(spans, key=lambda span: span.start_time):
        if (None if span.parent is None else span.parent.span_id) == parent:
            code = span.attributes.get("rpc.response.status_code", "")
            print(f"{'  ' * depth}{span.kind.name} {span.name} {code}".rstrip())
            draw(spans, span.context.span_id, depth + 1)


def adding(service: str, name: str, behave: Any) -> Any:
    """What generated code has."""
    handlers: dict[str, Any] = {name: grpc.unary_unary_rpc_method_handler(behave)}
    handler = grpc.method_handlers_generic_handler(service, handlers)
    return lambda _servicer, server: server.add_generic_rpc_handlers((handler,))


if __name__ == "__main__":
    asyncio.run(main())
