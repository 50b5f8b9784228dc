"""Who may ask a process about itself, and who may change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from kit.errors import ConfigurationError, PermissionDenied, Unauthenticated
from kit.ops.access import access_for, from_env


@dataclass
class Somebody:
    scopes: frozenset[str]


NOBODY = None
READER = Somebody(frozenset({"orders.read"}))
OPERATOR = Somebody(frozenset({"ops.write"}))


def may(who: Somebody | None, admin: Any, **server: bool) -> str:
    """ "rw", "r" or "", and "-" where nothing is served."""
    access = access_for(admin, **{"loopback": False, "knows_callers": False, **server}, caller=lambda: who)
    if access is None:
        return "-"
    allowed = ""
    for letter, act in (("r", access.read), ("w", access.write)):
        try:
            act()
        except (Unauthenticated, PermissionDenied):
            continue
        allowed += letter
    return allowed


@pytest.mark.parametrize(
    ("admin", "loopback", "callers_known", "unknown"),
    [
        (None, "r", "", "-"),
        (True, "r", "", "r"),
        ("write", "rw", "", "r"),
        (False, "-", "-", "-"),
    ],
)
def test_what_somebody_may_who_is_not_known(admin: Any, loopback: str, callers_known: str, unknown: str) -> None:
    assert may(NOBODY, admin, loopback=True) == loopback
    assert may(NOBODY, admin, knows_callers=True) == callers_known
    assert may(NOBODY, admin) == unknown


@pytest.mark.parametrize("admin", [None, True, "write"])
@pytest.mark.parametrize("loopback", [True, False])
def test_who_is_known_reads_and_writes_with_the_scope(admin: Any, loopback: bool) -> None:
    assert may(READER, admin, loopback=loopback, knows_callers=True) == "r"
    assert may(OPERATOR, admin, loopback=loopback, knows_callers=True) == "rw"


def test_callers_have_to_be_known_on_loopback_too_where_they_can_be() -> None:
    assert may(NOBODY, None, loopback=True, knows_callers=True) == ""
    assert may(NOBODY, "write", loopback=True, knows_callers=True) == ""


def test_clients_with_certificates_of_the_right_names_read_and_do_not_write() -> None:
    assert may(NOBODY, None, knows_peers=True) == "r"
    assert may(NOBODY, "write", loopback=True, knows_peers=True) == "r"


@pytest.mark.parametrize("admin", ["yes", 1, "read", ()])
def test_what_is_no_setting_is_refused(admin: Any) -> None:
    with pytest.raises(ConfigurationError, match="admin"):
        access_for(admin, loopback=True, knows_callers=False, caller=lambda: None)


@pytest.mark.parametrize(("text", "wanted"), [("", None), ("1", True), ("yes", True), ("0", False), ("FALSE", False)])
def test_the_environment_says_it_where_the_program_does_not(text: str, wanted: bool | None) -> None:
    assert from_env({"KIT_ADMIN": text}) is wanted


def test_what_the_environment_cannot_mean_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="KIT_ADMIN: 1 or 0 is needed, not 'write'"):
        from_env({"KIT_ADMIN": "write"})
