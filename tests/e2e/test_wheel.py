"""The wheel and the sdist build, and the wheel works away from the source."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.datafiles import ROOT


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)],
        check=True,
        capture_output=True,
        timeout=300,
    )
    return out


def test_the_wheel_has_the_types_the_console_and_the_policy_proto(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"buf/validate/validate.proto", "buf/validate/validate_pb2.py"} <= names
    assert {"kit/py.typed", "kitapi/v1/policy.proto", "kitapi/v1/policy_pb2.pyi", "gateway/__main__.py"} <= names
    assert "gateway/console/dist/index.html" in names
    assert not any(name.startswith(("tests/", "bench/", "examples/")) for name in names)


def test_the_sdist_has_what_the_wheel_is_built_from(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    assert any(name.endswith("/protos/kitapi/v1/policy.proto") for name in names)
    assert any(name.endswith("/LICENSE") for name in names)
    assert not any("node_modules" in name for name in names)


def test_the_wheel_works_when_it_is_installed_elsewhere(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    target = tmp_path / "site"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--target",
            str(target),
            str(wheel),
        ],
        check=True,
        capture_output=True,
    )
    program = (
        "import kit, services.cli, gateway, kitapi.v1.policy_pb2 as p, loganalyzer.search.v1.search_pb2_grpc; "
        "assert all('site/' in m.__file__ for m in (kit, services.cli, gateway, p)), kit.__file__; "
        "print(kit.MethodPolicy())"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode()
    proto = tmp_path / "protos" / "shop" / "v1" / "shop.proto"
    proto.parent.mkdir(parents=True)
    proto.write_text(
        'syntax = "proto3"; package shop.v1; import "kitapi/v1/policy.proto"; import "buf/validate/validate.proto";\n'
        "message Order { string id = 1 [(buf.validate.field).string.min_len = 1]; }\n"
        "service Shop { rpc Get(Order) returns (Order) { option idempotency_level = NO_SIDE_EFFECTS;\n"
        "  option (kitapi.v1.method) = { timeout: { seconds: 1 } }; } }\n"
    )
    gen = subprocess.run(
        [sys.executable, "-P", "-m", "kit.cli", "gen", str(tmp_path / "protos"), "--out", str(tmp_path / "gen")],
        cwd=tmp_path,
        env={"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert gen.returncode == 0, gen.stderr.decode()
    assert (tmp_path / "gen" / "shop" / "v1" / "shop_pb2_grpc.pyi").is_file()
