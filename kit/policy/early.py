"""What can be said of a policy that code gives before any of its methods is used.

A method that the process knows is worked out at once. Of any other its .proto may still say more, so only what is said
of breakers is looked at: a figure that no breaker would look at is a kind that was forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping

from kit.policy.leaves import Leaves, merge, refused
from kit.policy.resolve import Overrides, policy_for
from kit.policy.watched import named
from kit.resilience.breaker_rules import BreakerRules

__all__ = ["check_early"]


def check_early(given: Overrides) -> None:
    """Refuses what would be refused when a stub is made. Raises PolicyError, with the method or the key."""
    known = named(given.tables)
    for method in known:
        policy_for(method, given)
    if given.environment is not None:
        # The file may well name the kind.
        return
    services = {method.rpartition("/")[0] for method in known}
    for key in given.tables:
        if key.rpartition("/")[0] not in services and not any(_is_below(other, key) for other in given.tables):
            breaker = merge(_breakers_down_to(key, given.tables)).breaker
            if breaker is not None:
                with refused(key, "breaker"):
                    BreakerRules.of(breaker)


def _is_below(other: str, key: str) -> bool:
    """Whether the other key is nearer to some of the key's methods."""
    return other != key and (key == "*" or (key.endswith("/*") and other.startswith(key[:-1])))


def _breakers_down_to(key: str, tables: Mapping[str, Leaves]) -> Leaves:
    found: Leaves = {}
    for each in dict.fromkeys(("*", f"{key.rpartition('/')[0]}/*", key)):
        found |= tables.get(each, {})
    # The rest may contradict itself here, and not where it is put together: what is nearer turns other things off.
    return {name: value for name, value in found.items() if name.startswith("breaker.")}
