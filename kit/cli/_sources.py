"""The options by which `kit check` and `kit explain` are told where policies come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def policy_sources(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the parameters `folders`, `include`, `module` and `policy`."""
    for decorate in (
        click.option("--policy", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A TOML overlay."),
        click.option("--module", multiple=True, metavar="NAME", help="A generated module, e.g. shop.v1.order_pb2."),
        click.option("--include", multiple=True, type=_FOLDER, help="Where further imports are found."),
        click.argument("folders", metavar="[PROTO_DIR]...", nargs=-1, type=_FOLDER),
    ):
        function = decorate(function)
    return function
