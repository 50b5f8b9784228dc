"""Whether policies fit together across calls. Pure: works on resolved policies only.

A method that declares the calls which its handler makes (`downstream`) must have time for them: its own timeout is at
least the worst case of those that are made one after the other, plus 50 %. A worst case counts every attempt at its
full length and the backoffs between; of parallel calls only the longest counts. Attempts multiply from one service to
the next; along no path may there be more than a stated number for one original call.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kit.policy.resolve import Resolved, worst_case_seconds

__all__ = [
    "MARGIN",
    "MAX_AMPLIFICATION",
    "Path",
    "Problem",
    "attempts_of",
    "fits",
    "needed_seconds",
    "paths_from",
    "problems",
]

#: What is kept beyond the sum of the calls made inside.
MARGIN = 0.5
#: Executions at the end of a path for one call at its start: two layers of the production preset.
MAX_AMPLIFICATION = 16


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one method's policy."""

    method: str
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.method}: {self.field}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Path:
    """A way that calls take, from one method to another that is called at its end."""

    methods: tuple[str, ...]
    #: How many executions one call at the start may become at the end.
    attempts: int
    #: The last method has been on the way before: it goes on so without end.
    circle: bool = False

    def __str__(self) -> str:
        return " > ".join(self.methods)


def attempts_of(resolved: Resolved) -> int:
    """How many attempts one call may become: retries, or hedges."""
    return max(resolved.retry.max_attempts, 1 if resolved.hedging is None else resolved.hedging.max_attempts)


def paths_from(method: str, policies: Mapping[str, Resolved]) -> Iterator[Path]:
    """Every way that a call of `method` takes along declared calls, itself first, shorter ones before their branches.

    A method that is not in `policies` ends the way before it; a circle is gone round once.
    """

    def follow(at: str, way: tuple[str, ...], attempts: int) -> Iterator[Path]:
        resolved = policies.get(at)
        if resolved is None:
            return
        if at in way:
            yield Path((*way, at), attempts, circle=True)
            return
        here = Path((*way, at), attempts * attempts_of(resolved))
        yield here
        for name in dict.fromkeys(call.method for call in resolved.policy.downstream or ()):
            yield from follow(f"/{name}", here.methods, here.attempts)

    return follow(method, (), 1)


def problems(policies: Mapping[str, Resolved], *, max_amplification: int = MAX_AMPLIFICATION) -> list[Problem]:
    """Everything that does not fit; `policies` by "/package.Service/Method"."""
    found: list[Problem] = []
    for method, resolved in policies.items():
        unknown = [call.method for call in resolved.policy.downstream or () if f"/{call.method}" not in policies]
        found += [Problem(method, "downstream", f"no method {name} is known") for name in unknown]
        if not unknown:
            found += _too_short(method, resolved, policies)
    for method in policies:
        found += _too_many(method, policies, max_amplification)
    return found


def needed_seconds(resolved: Resolved, policies: Mapping[str, Resolved]) -> float | None:
    """The timeout that the method must have for the calls that it declares: 0 when there are none.

    None where one of them is not known.
    """
    if any(f"/{call.method}" not in policies for call in resolved.policy.downstream or ()):
        return None
    calls = [
        (call, call.times * worst_case_seconds(policies[f"/{call.method}"]))
        for call in resolved.policy.downstream or ()
    ]
    one_by_one = math.fsum(seconds for call, seconds in calls if not call.parallel)
    at_once = max((seconds for call, seconds in calls if call.parallel), default=0.0)
    return (one_by_one + at_once) * (1 + MARGIN)


def fits(resolved: Resolved, needed: float) -> bool:
    """Whether the method's timeout is as long as that."""
    # Sums of decimal fractions: 1.5 * 20.0 must not fail by a rounding error.
    return resolved.timeout >= needed or math.isclose(resolved.timeout, needed)


def _too_short(method: str, resolved: Resolved, policies: Mapping[str, Resolved]) -> list[Problem]:
    needed = needed_seconds(resolved, policies)
    if needed is None or fits(resolved, needed):
        return []
    calls = ", ".join(
        f"{call.method}{f' x {call.times}' if call.times > 1 else ''}{' in parallel' if call.parallel else ''}"
        f" {worst_case_seconds(policies[f'/{call.method}']):g} s"
        for call in resolved.policy.downstream or ()
    )
    reason = f"{resolved.timeout:g} s is too short; the calls made inside need {needed:g} s, 50 % included ({calls})"
    return [Problem(method, "timeout", reason)]


def _too_many(root: str, policies: Mapping[str, Resolved], most: int) -> list[Problem]:
    """A circle, and the first of each way's ends that has too many attempts."""
    found: list[Problem] = []
    cut: list[tuple[str, ...]] = []
    for path in paths_from(root, policies):
        if any(path.methods[: len(way)] == way for way in cut):
            continue
        if path.circle:
            if path.methods[-1] == root:
                found.append(Problem(root, "downstream", f"the calls go round in a circle: {path}"))
        elif path.attempts > most and len(path.methods) > 1:
            reason = f"one call may become {path.attempts}, more than {most}, at the end of {path}"
            found.append(Problem(root, "retry.max_attempts", reason))
            cut.append(path.methods)
    return found
