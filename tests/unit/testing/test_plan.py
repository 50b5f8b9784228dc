"""Fault plans, from code and from TOML."""

from __future__ import annotations

import random
import statistics
from pathlib import Path

import grpc
import pytest

from kit.errors import ConfigurationError
from kit.testing import FaultPlan, Fixed, Lognormal, Outage, OutageKind, Phase, Uniform, load_plan

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE

WHOLE = """
endpoints = 3
latency = "20ms"

[[phase]]
duration = "30s"

[[phase]]
duration = "1.5m"
errors = { UNAVAILABLE = 0.2, INTERNAL = 0.01 }
latency = { median = "20ms", p99 = "400ms" }
pushback = "300ms"
endpoints = [0]

[[phase]]
latency = { low = 0.01, high = 0.02 }
pushback = "never"

[[outage]]
start = "40s"
duration = 10
endpoints = [1, 2]
kind = "silent"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "plan.toml"
    path.write_text(text)
    return path


def test_every_field_is_read(tmp_path: Path) -> None:
    assert load_plan(written(tmp_path, WHOLE)) == FaultPlan(
        endpoints=3,
        latency=Fixed(0.02),
        phases=(
            Phase(duration=30.0),
            Phase(
                duration=90.0,
                errors={UNAVAILABLE: 0.2, grpc.StatusCode.INTERNAL: 0.01},
                latency=Lognormal(0.02, 0.4),
                pushback=0.3,
                endpoints=frozenset({0}),
            ),
            Phase(latency=Uniform(0.01, 0.02), pushback=-1.0),
        ),
        outages=(Outage(start=40.0, duration=10.0, endpoints=frozenset({1, 2}), kind=OutageKind.SILENT),),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("endpoint = 3", "endpoint: unknown; known are endpoints"),
        ("endpoints = 0", "at least 1"),
        ("endpoints = true", "a whole number"),
        ('latency = "fast"', "a number of seconds"),
        ("latency = -1", "0 or more"),
        ("latency = { mean = 1 }", "low, high"),
        ("latency = { low = 2, high = 1 }", "is none"),
        ("latency = { median = 2, p99 = 1 }", "do not fit"),
        ("phase = 1", r"\[\[phase\]\]"),
        ("[[phase]]\nlength = 1", "phase: length: unknown"),
        ("[[phase]]\nduration = 0", "longer than 0"),
        ("[[phase]]\nerrors = 1", "errors"),
        ("[[phase]]\nerrors = { OK = 0.1 }", "OK is not an error"),
        ("[[phase]]\nerrors = { NOPE = 0.1 }", "NOPE is no status code"),
        ("[[phase]]\nerrors = { ABORTED = 1.1 }", "from 0 to 1"),
        ("[[phase]]\nerrors = { ABORTED = 0.6, INTERNAL = 0.6 }", "more than 1 together"),
        ("[[phase]]\nendpoints = [1]", r"no endpoint \[1\]"),
        ("[[phase]]\nendpoints = 1", "a list"),
        ("outage = 1", r"\[\[outage\]\]"),
        ("[[outage]]\nstart = 1", "must be given"),
        ("[[outage]]\nstart = -1\nduration = 1", "0 or more"),
        ("[[outage]]\nstart = 1\nduration = 0", "longer than 0"),
        ('[[outage]]\nstart = 1\nduration = 1\nkind = "loud"', "refused"),
        ("not toml", "not a TOML file"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load_plan(written(tmp_path, text))


def test_a_plan_that_is_missing_is_said_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing\.toml"):
        load_plan(tmp_path / "nothing.toml")


def test_phases_follow_one_another_and_then_nothing_fails() -> None:
    bad = Phase(duration=10.0, errors={UNAVAILABLE: 1.0}, endpoints=frozenset({1}))
    plan = FaultPlan(endpoints=2, phases=(Phase(duration=5.0), bad))
    assert not plan.phase_at(4.9, 1).errors
    assert plan.phase_at(5.0, 1) is bad
    assert not plan.phase_at(5.0, 0).errors
    assert not plan.phase_at(15.0, 1).errors
    assert FaultPlan(phases=(Phase(errors={UNAVAILABLE: 1.0}),)).phase_at(1e9, 0).errors


def test_latencies_have_the_shape_that_they_name() -> None:
    rng = random.Random(1)
    drawn = sorted(Lognormal(0.02, 0.4).sample(rng) for _ in range(20_000))
    assert statistics.median(drawn) == pytest.approx(0.02, rel=0.05)
    assert drawn[int(0.99 * len(drawn))] == pytest.approx(0.4, rel=0.15)
    assert all(0.1 <= Uniform(0.1, 0.2).sample(rng) <= 0.2 for _ in range(100))
    assert Fixed(0.3).sample(rng) == 0.3
