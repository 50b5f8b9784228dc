"""`kit gen` on a user's own protos, and on ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kit.cli import main
from tests.datafiles import ROOT

ORDER = """
syntax = "proto3";
package shop.v1;
import "buf/validate/validate.proto";
import "google/api/annotations.proto";
import "google/longrunning/operations.proto";
import "google/protobuf/timestamp.proto";
import "kitapi/v1/policy.proto";
import "shop/v1/money.proto";

service OrderService {
  rpc GetOrder(GetOrderRequest) returns (Order) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/{name=orders/*}" };
    option (kitapi.v1.method) = { timeout: { seconds: 2 } };
  }
  rpc WatchOrders(GetOrderRequest) returns (stream Order);
  rpc DeleteOrder(GetOrderRequest) returns (google.longrunning.Operation);
}
message GetOrderRequest { string name = 1 [(buf.validate.field).string.min_len = 1]; }
message Order { string name = 1; Money price = 2; google.protobuf.Timestamp placed = 3; }
"""
MONEY = 'syntax = "proto3";\npackage shop.v1;\nmessage Money { int64 cents = 1; }\n'
USE = """
from shop.v1 import order_pb2, order_pb2_grpc
import kit
assert order_pb2.Order(price={"cents": 5}).price.cents == 5
assert order_pb2_grpc.OrderServiceStub
from buf.validate import validate_pb2
rules = order_pb2.GetOrderRequest.DESCRIPTOR.fields_by_name["name"].GetOptions().Extensions[validate_pb2.field]
assert rules.string.min_len == 1
assert kit.policy.policy_for("shop.v1.OrderService/GetOrder").timeout == 2
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with a user's protos."""
    folder = tmp_path / "my protos" / "shop" / "v1"
    folder.mkdir(parents=True)
    (folder / "order.proto").write_text(ORDER)
    (folder / "money.proto").write_text(MONEY)
    return tmp_path / "my protos"


def gen(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["gen", *map(str, arguments)])


def test_the_generated_code_of_a_users_own_protos_imports_and_has_types(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "generated"
    result = gen(shop, "--out", out)
    assert result.exit_code == 0, result.output
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == [
        f"shop/v1/{stem}_{ending}"
        for stem in ("money", "order")
        for ending in ("pb2.py", "pb2.pyi", "pb2_grpc.py", "pb2_grpc.pyi")
    ]
    path = os.pathsep.join([str(out), str(ROOT), str(ROOT / "protos" / "gen")])
    subprocess.run([sys.executable, "-P", "-c", USE], check=True, env={**os.environ, "PYTHONPATH": path})


def test_plugins_are_found_when_the_environments_programs_are_not_on_path(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert gen(shop, "--out", tmp_path / "out").exit_code == 0


def test_check_says_what_is_missing_changed_and_stale_and_writes_nothing(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert gen(shop, "--out", out, "--check").exit_code == 1
    assert not out.exists()
    gen(shop, "--out", out)
    result = gen(shop, "--out", out, "--check")
    assert (result.exit_code, result.output) == (0, f"{out} is up to date\n")

    (shop / "shop" / "v1" / "coin.proto").write_text(MONEY.replace("Money", "Coin"))
    gen(shop, "--out", out)
    (shop / "shop" / "v1" / "coin.proto").unlink()
    (out / "shop/v1/money_pb2.py").write_text("# edited by hand\n")
    (out / "shop/v1/order_pb2.pyi").unlink()
    own = out / "shop/v1/own_pb2.py"
    own.write_text("# nobody generated this\n")
    result = gen(shop, "--out", out, "--check")
    assert result.exit_code == 1
    assert sorted(result.output.splitlines()) == sorted(
        [
            f"missing {out}/shop/v1/order_pb2.pyi",
            f"differs {out}/shop/v1/money_pb2.py",
            *(f"stale {out}/shop/v1/coin_{end}" for end in ("pb2.py", "pb2.pyi", "pb2_grpc.py", "pb2_grpc.pyi")),
        ]
    )
    assert gen(shop, "--out", out).exit_code == 0
    assert gen(shop, "--out", out, "--check").exit_code == 0
    assert own.exists()


def test_files_that_are_right_are_not_touched(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    gen(shop, "--out", out)
    path = out / "shop/v1/order_pb2.py"
    os.utime(path, (1, 1))
    gen(shop, "--out", out)
    assert path.stat().st_mtime == 1


def test_an_error_in_a_proto_is_said_with_its_place(shop: Path, tmp_path: Path) -> None:
    (shop / "shop" / "v1" / "bad.proto").write_text('syntax = "proto3";\nmessage M { Nothing x = 1; }\n')
    result = gen(shop, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "bad.proto:2" in result.output
    assert '"Nothing" is not defined' in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "part", "reason"),
    [
        ("shop/import/v1/a.proto", "'import'", "Python keyword"),
        ("shop/1st/a.proto", "'1st'", "no Python name"),
        ("kit/v1/a.proto", "'kit'", "installed package"),
        ("grpc/a.proto", "'grpc'", "installed package"),
        ("google/type/a.proto", "'google'", "--include"),
        ("json/a.proto", "'json'", "installed package"),
    ],
)
def test_a_path_whose_code_could_not_be_imported_is_refused(tmp_path: Path, name: str, part: str, reason: str) -> None:
    path = tmp_path / "protos" / name
    path.parent.mkdir(parents=True)
    path.write_text(MONEY)
    result = gen(tmp_path / "protos", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert part in result.output
    assert reason in result.output


def test_a_file_may_have_a_keyword_as_its_name_and_a_dash(tmp_path: Path) -> None:
    folder = tmp_path / "protos" / "my-shop"
    folder.mkdir(parents=True)
    (folder / "import.proto").write_text(MONEY)
    assert gen(tmp_path / "protos", "--out", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out" / "my_shop" / "import_pb2.py").is_file()


def test_two_files_of_one_name_are_refused(shop: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "shop" / "v1"
    other.mkdir(parents=True)
    (other / "money.proto").write_text(MONEY)
    result = gen(shop, tmp_path / "other", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "shop/v1/money.proto" in result.output


def test_imports_are_found_where_include_says(shop: Path, tmp_path: Path) -> None:
    own = tmp_path / "own" / "app" / "v1"
    own.mkdir(parents=True)
    (own / "a.proto").write_text(
        'syntax = "proto3";\npackage app.v1;\nimport "shop/v1/money.proto";\nmessage A { shop.v1.Money m = 1; }\n'
    )
    assert gen(tmp_path / "own", "--out", tmp_path / "out").exit_code == 1
    assert gen(tmp_path / "own", "--out", tmp_path / "out", "--include", shop).exit_code == 0
    assert not (tmp_path / "out" / "shop").exists()


def test_a_folder_without_protos_is_an_error(tmp_path: Path) -> None:
    assert "no .proto file" in gen(tmp_path, "--out", tmp_path / "out").output


def test_the_committed_code_is_what_kit_gen_makes() -> None:
    result = gen(ROOT / "protos", "--out", ROOT / "protos" / "gen", "--check")
    assert result.exit_code == 0, result.output
