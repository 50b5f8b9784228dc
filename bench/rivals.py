"""Others' ways to make resilient calls, in an environment of their own: `.venv-rivals`, made when it is first needed.

grpc-client-kit needs Python 3.12, which the project does not. Where there is one, the whole table is measured under
it, so that every line of it is one interpreter's.
"""

from __future__ import annotations

import datetime
import hashlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from bench.echo import MESSAGE, ROOT, Stub

__all__ = ["by_hand", "grpc_client_kit", "interpreter"]

_PACKAGES = (
    "grpc-client-kit==0.4.0",
    "grpc-server-kit==0.2.1",
    "opentelemetry-instrumentation-grpc==0.66b2",
    "tenacity==9.2.1",
    "aiobreaker==1.2.0",
)
_FOLDER = ROOT / ".venv-rivals"


@asynccontextmanager
async def grpc_client_kit(address: str) -> AsyncIterator[Any]:
    """Its documented client: a pooled channel whose chain has timeout, retry and breaker, all as it presets them.

    The stub is taken once, as its quick start does.
    """
    import grpc_client_kit as theirs  # type: ignore[import-not-found, unused-ignore]
    from grpc_client_kit import interceptors  # type: ignore[import-not-found, unused-ignore]

    def chain(_target: str) -> Any:
        return interceptors.build_interceptors(
            timeout=interceptors.TimeoutConfig(),
            retry=interceptors.RetryConfig(),
            circuit_breaker=interceptors.CircuitBreakerConfig(),
        )

    async with theirs.ChannelPool() as pool:
        config = theirs.GrpcClientConfig(target=address, insecure=True)
        async with theirs.GrpcClient(Stub, config=config, pool=pool, interceptor_factory=chain) as stub:
            unary = stub.Unary
            yield lambda: unary(MESSAGE)


@asynccontextmanager
async def by_hand(address: str) -> AsyncIterator[Any]:
    """tenacity around aiobreaker around a stock stub, as their documentation shows it."""
    import aiobreaker
    import tenacity  # type: ignore[import-not-found, unused-ignore]

    def worth_it(error: BaseException) -> bool:
        return isinstance(error, grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.UNAVAILABLE

    breaker = aiobreaker.CircuitBreaker(fail_max=5, timeout_duration=datetime.timedelta(seconds=60))
    async with grpc.aio.insecure_channel(address) as channel:
        unary = Stub(channel).Unary

        @tenacity.retry(  # type: ignore[untyped-decorator, unused-ignore]
            stop=tenacity.stop_after_attempt(4),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=1),
            retry=tenacity.retry_if_exception(worth_it),
            reraise=True,
        )
        async def once() -> Any:
            return await breaker.call_async(unary, MESSAGE, timeout=10.0)

        yield once


def interpreter() -> Path | None:
    """The Python that has the rivals and the kit; None where no Python here is new enough for them."""
    python = _FOLDER / "bin" / "python"
    stamp = _FOLDER / ".installed"
    wanted = _digest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    base = next(_new_enough(), None)
    if base is None:
        return None
    print(f"Making {_FOLDER.name} with {base} ...", file=sys.stderr, flush=True)
    subprocess.run([base, "-m", "venv", "--clear", _FOLDER], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", "constraints.txt"]
    subprocess.run([*pip, "-e", ".", *_PACKAGES], cwd=ROOT, check=True)
    stamp.write_text(wanted)
    return python


def _digest() -> str:
    parts = [(ROOT / name).read_text() for name in ("pyproject.toml", "constraints.txt")]
    return hashlib.sha256("\n".join([*parts, *_PACKAGES]).encode()).hexdigest()


def _new_enough() -> Iterator[str]:
    """Pythons from 3.12 on, those on the path first, then what pyenv keeps off it."""
    found = [path for name in ("python3.12", "python3.13") if (path := shutil.which(name))]
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False).stdout.strip()
        found += [str(path) for path in sorted(Path(root).glob("versions/3.1[23].*/bin/python"))]
    for python in (sys.executable, *found):
        # A shim may be on the path without anything behind it.
        code = "import sys; sys.exit(not (3, 12) <= sys.version_info < (3, 14))"
        if subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0:
            yield python
