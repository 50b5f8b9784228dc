"""The options by which `kit check` and `kit explain` are told where policies come from."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def policy_sources(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the parameters `folders`, `include`, `module` and `policy`.

    What is positional is a folder of .proto files, or the TOML overlay, which --policy names as well.
    """

    @functools.wraps(function)
    def sorted_out(*, sources: tuple[Path, ...], policy: Path | None, **others: Any) -> Any:
        files = [path for path in sources if not path.is_dir()]
        for path in files:
            if path.suffix != ".toml":
                raise click.UsageError(f"{path}: neither a folder of .proto files nor a .toml file")
        overlays = files if policy is None else [*files, policy]
        if len(overlays) > 1:
            raise click.UsageError(f"one overlay at a time, not {' and '.join(map(str, overlays))}")
        folders = tuple(path for path in sources if path.is_dir())
        return function(folders=folders, policy=overlays[0] if overlays else None, **others)

    decorated: Callable[..., Any] = sorted_out
    for decorate in (
        click.option("--policy", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A TOML overlay."),
        click.option("--module", multiple=True, metavar="NAME", help="A generated module, e.g. shop.v1.order_pb2."),
        click.option("--include", multiple=True, type=_FOLDER, help="Where further imports are found."),
        click.argument(
            "sources", metavar="[PROTO_DIR|CONFIG]...", nargs=-1, type=click.Path(exists=True, path_type=Path)
        ),
    ):
        decorated = decorate(decorated)
    return decorated
