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


def test_a_callers_own_channel_option_wins() -> None:
    found = options({}, options=[("grpc.so_reuseport", 1), ("grpc.x", "y")])
    assert dict(found.channel)["grpc.so_reuseport"] == 1
    assert [name for name, _ in found.channel].count("grpc.so_reuseport") == 1
