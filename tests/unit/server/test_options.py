"""Arguments, the environment, defaults: in this order."""

from __future__ import annotations

from typing import Any

import pytest

from kit.errors import ConfigurationError
from kit.server._options import ServerOptions, server_options


def options(environ: dict[str, str], **given: Any) -> ServerOptions:
    empty: dict[str, Any] = {"listen": None, "register": None, "drain_delay": None, "grace": None, "options": ()}
    return server_options(**{**empty, **given}, environ=environ)


def test_defaults_are_a_free_port_on_loopback_registered_and_ten_seconds_of_grace() -> None:
    found = options({})
    assert (found.listen, found.register, found.drain_delay, found.grace) == ("127.0.0.1:0", True, 0, 10)


def test_the_environment_counts_where_no_argument_does() -> None:
    env = {"KIT_LISTEN": "0.0.0.0:5", "KIT_REGISTER": "1", "KIT_DRAIN_DELAY": "2.5", "KIT_GRACE": "0"}
    found = options(env)
    assert (found.listen, found.register, found.drain_delay, found.grace) == ("0.0.0.0:5", True, 2.5, 0)
    found = options(env, listen="[::1]:6", register=False, drain_delay=0.0, grace=1.0)
    assert (found.listen, found.register, found.drain_delay, found.grace) == ("[::1]:6", False, 0, 1)


@pytest.mark.parametrize(
    ("listen", "register", "advertised"),
    [
        ("127.0.0.1:0", True, "127.0.0.1:7"),
        ("localhost:0", True, "localhost:7"),
        ("[::1]:0", True, "[::1]:7"),
        ("0.0.0.0:0", False, "127.0.0.1:7"),
        ("[::]:0", False, "[::1]:7"),
        ("10.0.0.3:0", False, "10.0.0.3:7"),
    ],
)
def test_only_loopback_is_registered_by_itself(listen: str, register: bool, advertised: str) -> None:
    found = options({"KIT_LISTEN": listen})
    assert (found.register, found.advertised(7)) == (register, advertised)


@pytest.mark.parametrize(
    "environ",
    [
        {"KIT_LISTEN": "8080"},
        {"KIT_LISTEN": "host:http"},
        {"KIT_LISTEN": "host:70000"},
        {"KIT_REGISTER": "perhaps"},
        {"KIT_GRACE": "soon"},
        {"KIT_DRAIN_DELAY": "-1"},
        {"KIT_GRACE": "nan"},
    ],
)
def test_nonsense_is_refused_by_name(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        options(environ)


@pytest.mark.parametrize(("wrong", "said"), [({"listen": 50051}, "host:port"), ({"limits": 5}, "ConnectionLimits")])
def test_arguments_of_another_type_are_refused_by_name(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        options({}, **wrong)


def test_a_callers_own_channel_option_wins() -> None:
    found = options({}, options=[("grpc.so_reuseport", 1), ("grpc.x", "y")])
    assert dict(found.channel)["grpc.so_reuseport"] == 1
    assert [name for name, _ in found.channel].count("grpc.so_reuseport") == 1


def age_of(found: ServerOptions) -> Any:
    return dict(found.channel).get("grpc.max_connection_age_ms")


def test_connections_have_an_age_and_what_runs_on_them_a_day() -> None:
    found = options({})
    assert age_of(found) == 1_800_000
    assert dict(found.channel)["grpc.max_connection_age_grace_ms"] == 86_400_000
    assert age_of(options({"KIT_MAX_CONNECTION_AGE": "60"})) == 60_000
    assert age_of(options({"KIT_MAX_CONNECTION_AGE": "60"}, max_connection_age=2.5)) == 2_500
    assert age_of(options({"KIT_MAX_CONNECTION_AGE": "0"})) is None
    own = options({}, options=(("grpc.max_connection_age_ms", 7), ("grpc.max_connection_age_grace_ms", 8)))
    assert dict(own.channel)["grpc.max_connection_age_grace_ms"] == 8
    assert [value for name, value in own.channel if name == "grpc.max_connection_age_ms"] == [7]


@pytest.mark.parametrize("age", ["0.5", "-1", "nan", "inf", "3000000", "old"])
def test_an_age_that_makes_no_sense_is_refused(age: str) -> None:
    with pytest.raises(ConfigurationError, match=r"(?i)max_connection_age"):
        options({"KIT_MAX_CONNECTION_AGE": age})
