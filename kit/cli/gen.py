"""`kit gen`: Python from .proto files, types included."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from kit.cli import _protoc
from kit.cli._drift import Drift, compare, write
from kit.cli._protos import find_protos, outputs, refuse_bad_paths
from kit.errors import ConfigurationError

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("folders", metavar="PROTO_DIR...", nargs=-1, required=True, type=_FOLDER)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where the code goes.")
@click.option("--include", multiple=True, type=_FOLDER, help="Where further imports are found; may be repeated.")
@click.option(
    "--check", is_flag=True, help="Write nothing; exit with 1 if what is on disk is not what would be written."
)
def gen(folders: tuple[Path, ...], out: Path, include: tuple[Path, ...], check: bool) -> None:
    """Generate messages, stubs and their types from every .proto file under PROTO_DIR.

    PROTO_DIR is where imports start: shop/v1/order.proto under it becomes shop.v1.order_pb2. The kit's own
    kitapi/v1/policy.proto and googleapis need no --include. Generated files under --out that belong to no .proto file
    are stale, and removed.
    """
    try:
        tree = find_protos(folders)
        refuse_bad_paths(tree.names)
        with tempfile.TemporaryDirectory(prefix="kit-gen-") as temporary:
            if warnings := _protoc.generate(tree, include, Path(temporary)):
                click.echo(warnings, err=True)
            wanted = [name for proto in tree.names for name in outputs(proto)]
            drift = compare(Path(temporary), out, wanted)
            if not check:
                write(Path(temporary), out, drift)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error
    _tell(drift, out, check=check)


def _tell(drift: Drift, out: Path, *, check: bool) -> None:
    if not drift:
        click.echo(f"{out} is up to date")
        return
    for verb, names in (("missing", drift.missing), ("differs", drift.changed), ("stale", drift.stale)):
        done = {"missing": "wrote", "differs": "wrote", "stale": "removed"}[verb]
        for name in names:
            click.echo(f"{verb if check else done} {out / name}")
    if check:
        raise click.exceptions.Exit(1)
