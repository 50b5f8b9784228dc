"""`kit explain` and `kit check` on idempotency keys and fallbacks."""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli.test_check_and_explain import kit, write

SHOP = """
service Shop {
  option (kitapi.v1.service) = { fallback: { cached_for: { seconds: 90 } } };
  rpc Buy(M) returns (M) { option (kitapi.v1.method) = {
    timeout: { seconds: 9 }
    retry: { max_attempts: 3 }
    idempotency_key: { mode: REQUIRED ttl: { seconds: %s } }
    fallback: { method: "%s" default_json: "{}" status_codes: [UNAVAILABLE, INTERNAL] }
  }; }
  rpc Other(M) returns (M);
  rpc Watch(M) returns (stream M);
}
"""


def test_explain_shows_both_groups_with_their_origins(tmp_path: Path) -> None:
    overlay = tmp_path / "policy.toml"
    overlay.write_text('["/shop.v1.Shop/Buy"]\nidempotency_key = { mode = "optional" }\n')
    folder = write(tmp_path / "protos", SHOP % (60, "Other"))
    code, said = kit("explain", "shop.v1.Shop/Buy", folder, "--policy", overlay)
    assert code == 0, said
    rows = {line.split()[0]: line.split(None, 1)[-1] for line in said.splitlines() if line}
    assert rows["idempotency_key.mode"].startswith("OPTIONAL")
    assert "code" in rows["idempotency_key.mode"]
    assert rows["idempotency_key.ttl"].startswith("60")
    assert rows["fallback.cached_for"].startswith("90")
    assert "service option" in rows["fallback.cached_for"]
    assert rows["fallback.method"].startswith("Other")
    assert rows["fallback.default_json"].startswith("{}")
    assert rows["fallback.status_codes"].startswith("INTERNAL, UNAVAILABLE")
    assert "not declared safe" not in said


def test_check_refuses_a_ttl_that_is_too_short_and_a_method_that_is_not_there(tmp_path: Path) -> None:
    assert kit("check", write(tmp_path / "good", SHOP % (60, "Other")))[0] == 0
    code, said = kit("check", write(tmp_path / "short", SHOP % (5, "Other")))
    assert code == 1
    assert "/shop.v1.Shop/Buy: idempotency_key.ttl: the server forgets a key after 5 s" in said
    code, said = kit("check", write(tmp_path / "missing", SHOP % (60, "Nowhere")))
    assert code == 1
    assert "/shop.v1.Shop/Buy: fallback.method: there is no /shop.v1.Shop/Nowhere" in said
