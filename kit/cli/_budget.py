"""Whether policies fit together across calls. Pure: works on resolved policies only.

A method that declares the calls which its handler makes (`downstream`) must have time for them: its own timeout is at
least the worst case of those that are made one after the other, plus 50 %. A worst case counts every attempt at its
full length and the backoffs between; of parallel calls only the longest counts. Attempts multiply from one service to
the next; along no path may there be more than a stated number for one original call.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from kit.policy import Resolved, worst_case_seconds

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


def needed_seconds(resolved: Resolved, policies: Mapping[str, Resolved]) -> float:
    """The timeout that the method must have for the calls that it declares; 0 when there are none."""
    calls = [
        (call, call.times * worst_case_seconds(policies[f"/{call.method}"]))
        for call in resolved.policy.downstream or ()
    ]
    one_by_one = math.fsum(seconds for call, seconds in calls if not call.parallel)
    at_once = max((seconds for call, seconds in calls if call.parallel), default=0.0)
    return (one_by_one + at_once) * (1 + MARGIN)


def _too_short(method: str, resolved: Resolved, policies: Mapping[str, Resolved]) -> list[Problem]:
    needed = needed_seconds(resolved, policies)
    # Sums of decimal fractions: 1.5 * 20.0 must not fail by a rounding error.
    if resolved.timeout >= needed or math.isclose(resolved.timeout, needed):
        return []
    calls = ", ".join(
        f"{call.method}{f' x {call.times}' if call.times > 1 else ''}{' in parallel' if call.parallel else ''}"
        f" {worst_case_seconds(policies[f'/{call.method}']):g} s"
        for call in resolved.policy.downstream or ()
    )
    reason = f"{resolved.timeout:g} s is too short; the calls made inside need {needed:g} s, 50 % included ({calls})"
    return [Problem(method, "timeout", reason)]


def _too_many(root: str, policies: Mapping[str, Resolved], most: int) -> list[Problem]:
    """Follows the calls from `root` on; reports a circle, and a path with too many attempts at its end."""
    found: list[Problem] = []

    def follow(method: str, path: tuple[str, ...], attempts: int) -> None:
        resolved = policies.get(method)
        if resolved is None:
            return
        if method in path:
            if method == root:
                found.append(
                    Problem(root, "downstream", f"the calls go round in a circle: {' > '.join((*path, method))}")
                )
            return
        attempts *= resolved.retry.max_attempts
        calls = resolved.policy.downstream or ()
        if attempts > most and path:
            reason = f"one call may become {attempts}, more than {most}, at the end of {' > '.join((*path, method))}"
            found.append(Problem(root, "retry.max_attempts", reason))
            return
        for call in calls:
            follow(f"/{call.method}", (*path, method), attempts)

    follow(root, (), 1)
    return found
