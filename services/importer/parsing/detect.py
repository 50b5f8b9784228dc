"""How a source tells time and level, from its first lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.importer.parsing import levels
from services.importer.parsing.calendar import is_plausible
from services.importer.parsing.levels import LevelRule
from services.importer.parsing.profiles import PROFILES, Profile

_LEVEL_SAMPLE_LINES = 100
# Where a time may stand anywhere it may also stand in a message.
_ANYWHERE = 0.6
# Share of lines that make other kinds of time not worth trying, and share for a second kind.
_CLEAR, _SECOND = 0.95, 20


@dataclass(frozen=True, slots=True)
class Detected:
    """Kinds of time, the second for lines that the first does not fit, and the rule for levels."""

    profile: Profile | None
    second: Profile | None
    rule: LevelRule


def detect(sample: Sequence[bytes], near: int) -> Detected:
    """The kinds that fit the sample best; `near` is in seconds since 1970. No kind where the sample has no time."""
    scored: list[tuple[float, int, Profile, dict[int, int]]] = []
    for rank, profile in enumerate(PROFILES):
        fitting = _fitting(profile, sample, near)
        if fitting:
            scored.append((len(fitting) * (_ANYWHERE if profile.anywhere else 1.0), -rank, profile, fitting))
        if len(fitting) > _CLEAR * len(sample) and not profile.anywhere:
            break
    if not scored:
        rule = levels.choose([(line, 0) for line in sample[:_LEVEL_SAMPLE_LINES]], json=False, without_level=False)
        return Detected(None, None, rule)
    scored.sort(key=lambda entry: entry[:2], reverse=True)
    _, _, chosen, fitting = scored[0]
    others = [
        (profile, len(also.keys() - fitting.keys()))
        for _, _, profile, also in scored[1:]
        if not profile.anywhere and not profile.cycle_days
    ]
    second, count = max(others, key=lambda other: other[1], default=(None, 0))
    rule = levels.choose(
        [(sample[at], end) for at, end in list(fitting.items())[:_LEVEL_SAMPLE_LINES]],
        json=chosen.json,
        without_level=chosen.without_level,
    )
    return Detected(chosen, second if count and count * _SECOND >= len(sample) else None, rule)


def _fitting(profile: Profile, sample: Sequence[bytes], near: int) -> dict[int, int]:
    """Lines that have a time of this kind, each with where it ends."""
    locate, ends = profile.locator(), {}
    for at, line in enumerate(sample):
        found = locate(line)
        if found is not None:
            seconds = profile.convert(found.group(1), near)
            if seconds is not None and is_plausible(seconds):
                ends[at] = found.end()
    return ends
