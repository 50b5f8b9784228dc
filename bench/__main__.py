"""Prints every figure, with the machine that it was measured on."""

from __future__ import annotations

import argparse
import os
import platform

import grpc

from bench import product


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each load run")
    args = parser.parse_args()
    print(
        f"# {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, grpcio {grpc.__version__}"
    )
    print(f"# repeat with: make bench ARGS='--seconds {args.seconds:g}'  (the load generator runs on the same cores)")
    product.main(args.seconds)


if __name__ == "__main__":
    main()
