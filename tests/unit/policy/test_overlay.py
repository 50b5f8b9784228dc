"""Policy from a TOML file."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.errors import PolicyError
from kit.policy import DownstreamCall, IdempotencyLevel, Jitter, Preset, policy_for
from kit.policy.overlay import load

FULL = """
["/a.B/C"]
timeout = "2s"
per_try_timeout = 0.5
preset = "production"
idempotency_level = "idempotent"
retry = { max_attempts = 4, initial_backoff = "50ms", max_backoff = "1m", backoff_multiplier = 1.5, jitter = "full" }
rate = { cost = 3 }
downstream = [{ method = "a.B/D", times = 2 }]
"""


def written(folder: Path, content: str) -> Path:
    path = folder / "policy.toml"
    path.write_text(content, "utf-8")
    return path


def test_every_field_can_be_written(tmp_path: Path) -> None:
    content = FULL + '["*"]\nretry.retryable_status_codes = ["UNAVAILABLE", "aborted"]\n'
    assert load(written(tmp_path, content)) == {
        "/a.B/C": {
            "timeout": 2.0,
            "per_try_timeout": 0.5,
            "preset": Preset.PRODUCTION,
            "idempotency_level": IdempotencyLevel.IDEMPOTENT,
            "retry.max_attempts": 4,
            "retry.initial_backoff": 0.05,
            "retry.max_backoff": 60.0,
            "retry.backoff_multiplier": 1.5,
            "retry.jitter": Jitter.FULL,
            "rate.cost": 3,
            "downstream": (DownstreamCall(method="a.B/D", times=2),),
        },
        "*": {"retry.retryable_status_codes": frozenset({10, 14})},
    }


def test_it_can_be_given_as_the_policy_of_a_channel(tmp_path: Path) -> None:
    path = written(tmp_path, '["/a.B/*"]\ntimeout = 7\n')
    assert policy_for("/a.B/C", path).timeout == 7.0
    assert policy_for("/a.B/C", str(path)).timeout == 7.0


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    assert load(written(tmp_path, '["*"]\ntimeout = 1\n'))["*"]["timeout"] == 1.0
    assert load(written(tmp_path, '["*"]\ntimeout = 22\n'))["*"]["timeout"] == 22.0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("nonsense", "not a TOML file"),
        ('timeout = "1s"', "a table"),
        ('["*"]\ntimeot = 1', "misspelt"),
        ('["*"]\ncache = { ttl = "1s" }', "no layer enforces"),
        ('["*"]\npriority = "urgent"', "one of critical, default, sheddable"),
        ('["*"]\nauth.scopes = "books.read"', "must be a list of texts"),
        ('["*"]\nauth = { public = true, scopes = ["a"] }', "contradicts scopes"),
        ('["*"]\nrate.per_second = 0', "must be more than 0"),
        ('["*"]\nretry = { attempts = 3 }', "retry.attempts"),
        ('["*"]\nretry = 3', "retry"),
        ('["*"]\ntimeout = "soon"', "500ms"),
        ('["*"]\ntimeout = true', "500ms"),
        ('["*"]\ntimeout = 0', "longer than 0"),
        ('["*"]\nretry.max_attempts = 2.5', "must be a whole number"),
        ('["*"]\nretry.max_attempts = true', "must be a whole number"),
        ('["*"]\nretry.max_attempts = 6', "1 to 5"),
        ('["*"]\nretry.jitter = "some"', "one of none, full"),
        ('["*"]\npreset = "fast"', "one of development"),
        ('["*"]\nretry.retryable_status_codes = "UNAVAILABLE"', "a list"),
        ('["*"]\nretry.retryable_status_codes = ["BROKEN"]', "not a status code"),
        ('["*"]\nretry.retryable_status_codes = ["OK"]', "OK is not a failure"),
        ('["*"]\ndownstream = [{ name = "a.B/D" }]', "a list of"),
        ('["a.B/C"]\ntimeout = 1', "a table"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_reason(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        load(written(tmp_path, content))


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="No such file"):
        load(tmp_path / "none.toml")
