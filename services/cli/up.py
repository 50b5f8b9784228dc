"""The verb `up`: everything on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import httpx

from kit import discovery
from kit.discovery import Instance, Registry
from services.cli import lock, ready, render
from services.cli.gateway import GatewayError
from services.cli.output import say
from services.cli.plan import EVERYTHING, GATEWAY, HOST, Plan
from services.cli.processes import Processes

#: Seconds that processes of an earlier run, whose `up` was killed, have to end; that everything has to get ready; that
#: the sample has to be imported before the table is shown all the same.
LEFTOVER_TIMEOUT = 20.0
START_TIMEOUT = 60.0
SAMPLE_TIMEOUT = 60.0


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    envvar="KIT_GATEWAY_PORT",
    help="Port of the gateway and its console on 127.0.0.1; 0 takes any free one.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where all data is kept.  [default: KIT_DATA_DIR, else your user data folder]",
)
@click.option(
    "--sample",
    type=click.Path(exists=True, path_type=Path),
    help="Import this file or folder first, if nothing was imported before.",
)
@click.option("--no-sample", is_flag=True, help="Import nothing, whatever --sample says.")
@click.option("--otlp", metavar="ENDPOINT", help="Send traces there, e.g. http://127.0.0.1:4317 (Jaeger takes them).")
def up(port: int, data_dir: Path | None, sample: Path | None, no_sample: bool, otlp: str | None) -> None:
    """Start the services, the gateway and its console, and run them until Ctrl-C.

    Whatever you can read may be imported. Only this machine can connect.
    """
    folder = discovery.data_dir() if data_dir is None else data_dir.expanduser().resolve()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise GatewayError(f"{folder} cannot be made: {error.strerror}") from error
    if port == 0:
        port = discovery.find_port(0, tries=0, host=HOST)
    plan = Plan(data_dir=folder, port=port, otlp=otlp)
    with lock.held(folder / "up.lock", {"url": plan.url}):
        if not discovery.is_available(port, HOST):
            raise GatewayError(
                f"port {port} of {HOST} is taken; choose another with --port, or --port 0 for any free one"
            )
        raise SystemExit(asyncio.run(_run(plan, None if no_sample or sample is None else sample.resolve())))


async def _run(plan: Plan, sample: Path | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    registry = Registry(plan.registry_dir)
    processes = Processes(plan, registry, stop, say=say)
    start = asyncio.create_task(_start(plan, registry, processes, sample))
    try:
        await _first(start, stop, processes.failed)
        if start.done():
            start.result()
            await stop.wait()
        elif not stop.is_set():
            raise GatewayError(_given_up(plan, processes.given_up))
        say("stopping ...")
    finally:
        start.cancel()
        stop.set()
        await processes.ended()
    if processes.given_up:
        raise GatewayError(_given_up(plan, processes.given_up))
    say("stopped")
    return 0


async def _first(task: asyncio.Task[None], *events: asyncio.Event) -> None:
    """Returns when the task is done or one of the events is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait([task, *waits], return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def _start(plan: Plan, registry: Registry, processes: Processes, sample: Path | None) -> None:
    try:
        async with asyncio.timeout(LEFTOVER_TIMEOUT):
            await ready.gone(registry, plan.children_file)
    except TimeoutError:
        raise GatewayError(_leftovers(plan, registry)) from None
    say("starting ...")
    processes.start()
    try:
        async with asyncio.timeout(START_TIMEOUT):
            instances = await ready.all_ready(registry)
            async with httpx.AsyncClient(base_url=plan.url, trust_env=False, timeout=10.0) as door:
                await ready.make_default_workspace(door)
    except TimeoutError:
        raise GatewayError(
            f"not everything got ready in {START_TIMEOUT:.0f} s; see the logs in {plan.log_dir}"
        ) from None
    except httpx.HTTPError as error:
        raise GatewayError(f"the default workspace could not be made: {error}; see {plan.log_file(GATEWAY)}") from error
    if sample is not None:
        await _import_sample(plan, sample)
    for line in overview(plan, instances, program(), "" if default_folder(plan.data_dir) else f" --gateway {plan.url}"):
        say(line)


async def _import_sample(plan: Plan, sample: Path) -> None:
    """Without the sample everything works all the same: failures are told and no more."""
    try:
        async with (
            asyncio.timeout(SAMPLE_TIMEOUT),
            httpx.AsyncClient(base_url=plan.url, trust_env=False, timeout=10.0) as door,
        ):
            ended = await ready.import_sample(door, sample)
    except TimeoutError:
        say(f"the sample {sample} is still being imported")
    except httpx.HTTPError as error:
        say(f"the sample {sample} could not be imported: {error}")
    else:
        if ended is not None:
            say(f"sample {sample}: {render.result(dict(ended))}")


def overview(plan: Plan, instances: Mapping[str, Instance], this_program: str, option: str) -> list[str]:
    """What is where, how to use it and how to stop it. `option` is what the other verbs need to find the gateway."""
    rows: list[tuple[str, ...]] = [("SERVICE", "ADDRESS", "PID")]
    rows += [(name, instances[name].address, str(instances[name].pid)) for name in EVERYTHING]
    return [
        "",
        *render.table(rows),
        "",
        f"console  {plan.url}/",
        f"data     {plan.data_dir}",
        f"logs     {plan.log_dir}",
        f"import   {this_program} import{option} /var/log",
        f"search   {this_program} search{option} error",
        f"         curl '{plan.url}/v1/workspaces/{ready.DEFAULT_WORKSPACE}/logs:search?query=error'",
        "stop     Ctrl-C",
        "",
    ]


def default_folder(folder: Path) -> bool:
    """The other verbs look there by themselves."""
    return folder == discovery.data_dir()


def program() -> str:
    """What to type to run this program again."""
    if shutil.which("loganalyzer"):
        return "loganalyzer"
    if os.path.basename(sys.argv[0]) == "loganalyzer":
        return shlex.quote(sys.argv[0])
    return f"{shlex.quote(sys.executable)} -m services.cli"


def _leftovers(plan: Plan, registry: Registry) -> str:
    found = ready.still_there(registry, plan.children_file)
    names = ", ".join(f"{name} (process {pid})" for name, pid in found.items())
    return f"{names} of {plan.data_dir} still runs from before; stop it, or choose another --data-dir"


def _given_up(plan: Plan, names: list[str]) -> str:
    lines: list[str] = []
    for name in names:
        path = plan.log_file(name)
        last = path.read_text(errors="replace").splitlines()[-5:] if path.exists() else []
        lines += [f"{name} ended again and again; the end of its log {path}:", *(f"  {line}" for line in last)]
    return "\n".join(lines)
