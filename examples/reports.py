"""What happened to a call: kit.report, kit.reports, errors, and the log.

python examples/reports.py
"""

import asyncio
import logging
import sys
from typing import Any

import grpc

import kit
from kit.testing import Fault, InProcess

GET = "/shop.v1.Shop/Get"
POLICY = kit.MethodPolicy(
    timeout=2.0,
    retry=kit.RetryPolicy(max_attempts=4, initial_backoff=0.01),
    breaker=kit.BreakerPolicy(failure_threshold=5),
    idempotency_level=kit.IdempotencyLevel.NO_SIDE_EFFECTS,
)
BUSY = Fault(code=grpc.StatusCode.UNAVAILABLE, details="busy")


async def main() -> None:
    async with InProcess(None, add_shop, policy=POLICY) as process:
        get: Any = process.channel.unary_unary(GET)  # a generated stub does the same

        process.faults.script(GET, [BUSY])
        call = get(b"")
        await call
        report = kit.report(call)
        print(report)
        print([attempt.code.name for attempt in report.attempts if attempt.code], report.stop_reason)

        logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("kit.client").setLevel(logging.DEBUG)
        process.faults.script(GET, [BUSY] * 5)
        with kit.reports() as seen:
            for _ in range(3):
                try:
                    await get(b"")
                except kit.errors.CallRefused as error:
                    print("it did not happen:", error)
                except kit.errors.CallFailed as error:
                    print("it may have happened:", error)
        print([(report.stop_reason, len(report.attempts)) for report in seen])


async def answer(request: bytes, context: Any) -> bytes:
    return b"a book"


def add_shop(servicer: object, server: Any) -> None:
    """What generated code has."""
    handlers: dict[str, Any] = {"Get": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.v1.Shop", handlers),))


if __name__ == "__main__":
    asyncio.run(main())
