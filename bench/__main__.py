"""Prints every figure, or those that are named, with the machine that they were measured on."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence

import grpc

from bench import (
    grep,
    imports,
    kit_amplification,
    kit_calls,
    kit_garbage,
    kit_idempotency,
    kit_latency,
    kit_memory,
    kit_overload,
    kit_streams,
    kit_telemetry,
    kit_workers,
    product,
    search,
)

_PARTS: Mapping[str, Callable[[Sequence[str]], None]] = {
    "calls": kit_calls.main,
    "streams": kit_streams.main,
    "telemetry": kit_telemetry.main,
    "latency": kit_latency.main,
    "memory": kit_memory.main,
    "garbage": kit_garbage.main,
    "amplification": kit_amplification.main,
    "overload": kit_overload.main,
    "idempotency": kit_idempotency.main,
    "workers": kit_workers.main,
    "imports": imports.main,
    "product": product.main,
    "grep": grep.main,
    "search": search.main,
}


def main() -> None:
    part, arguments = (sys.argv[1], sys.argv[2:]) if sys.argv[1:] else ("all", [])
    if part not in _PARTS and part != "all":
        raise SystemExit(f"usage: python -m bench [{' | '.join(_PARTS)} [its options, --help]]")
    print(
        f"# {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, grpcio {grpc.__version__}"
    )
    for name, run in _PARTS.items():
        if part in (name, "all"):
            print(f"\n## {name}; again by: make bench ARGS='{' '.join([name, *arguments])}'", flush=True)
            run(arguments)


if __name__ == "__main__":
    main()
