"""The configuration: defaults, precedence, and errors that name the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.__main__ import main
from gateway.config import Config, load
from kit.errors import ConfigurationError

_SERVICE = '[[services]]\nname = "shelf"\nmodules = ["a_pb2"]\n'


def _load(tmp_path: Path, text: str, **env: str) -> Config:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    return load(path, env)


def test_the_built_in_configuration_serves_the_log_analyzer() -> None:
    config = load(None, {})
    assert [(service.name, service.target) for service in config.services] == [
        ("search", "local:///search"),
        ("importer", "local:///importer"),
        ("workspace", "local:///workspace"),
    ]
    assert (config.host, config.port, config.register) == ("127.0.0.1", 8080, True)
    assert (config.limit.rate, config.limit.burst) == (20_000, 40_000)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    text = '[server]\nport = 1\nhost = "::1"\n[limit]\nrate = 1\n' + _SERVICE
    config = _load(
        tmp_path,
        text,
        KIT_GATEWAY_PORT="0",
        KIT_GATEWAY_HOST="0.0.0.0",
        KIT_GATEWAY_RATE="2.5",
        KIT_GATEWAY_BURST="9",
        KIT_GATEWAY_MAX_UPLOAD_BYTES="100",
        KIT_GATEWAY_ACCESS_LOG="0",
        KIT_TARGET_SHELF="dns:///shelf:1",
        KIT_DRAIN_DELAY="8",
        KIT_GRACE="3",
        KIT_REGISTER="1",
    )
    assert (config.host, config.port, config.access_log, config.register) == ("0.0.0.0", 0, False, True)
    assert (config.limit.rate, config.limit.burst, config.max_upload_bytes) == (2.5, 9, 100)
    assert (config.drain_delay, config.grace) == (8, 3)
    assert config.services[0].target == "dns:///shelf:1"


def test_a_target_that_is_not_given_is_looked_up_locally(tmp_path: Path) -> None:
    assert _load(tmp_path, _SERVICE).services[0].target == "local:///shelf"


def test_a_gateway_that_listens_to_others_stands_in_no_local_registry(tmp_path: Path) -> None:
    assert not _load(tmp_path, '[server]\nhost = "0.0.0.0"\n' + _SERVICE).register


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "services: at least one"),
        ("services = 3", "services: at least one"),
        ("x = 1\n" + _SERVICE, "x: is not known"),
        ("server = 1\n" + _SERVICE, "server: must be a table"),
        ("[server]\nprot = 1\n" + _SERVICE, "server.prot: is not known; known are host, port"),
        ('[server]\nport = "80"\n' + _SERVICE, "server.port: must be a whole number"),
        ("[server]\nport = true\n" + _SERVICE, "server.port: must be a whole number"),
        ("[server]\nport = 70000\n" + _SERVICE, "server.port: must be 0 to 65535"),
        ("[server]\nallowed_hosts = [1]\n" + _SERVICE, "server.allowed_hosts: must be a list of strings"),
        ("[limit]\nburst = 0\n" + _SERVICE, "limit.burst: must be at least 1"),
        ("[limit]\nper_hour = 0\n" + _SERVICE, "limit.per_hour: is not known"),
        ("[body]\nmax_body_bytes = 0\n" + _SERVICE, "body.max_body_bytes: must be at least 1"),
        ("[stream]\nheartbeat = 0\n" + _SERVICE, "stream.heartbeat: must be more than 0"),
        ("[stop]\ngrace = -1\n" + _SERVICE, "stop.grace: must be 0"),
        ("[[services]]\nmodules = ['a']", r"services\[0\].name"),
        ("[[services]]\nname = 'a b'", r"services\[0\].name"),
        ("[[services]]\nname = 'a'", r"services\[0\].modules: modules or descriptor_set"),
        ("[[services]]\nname = 'a'\nmodules = 'x'", r"services\[0\].modules: must be a list"),
        ("[[services]]\nname = 'a'\nport = 1", r"services\[0\].port: is not known"),
        (_SERVICE + _SERVICE, r"services\[1\].name: shelf stands there twice"),
        ("x = ", "is not TOML"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        _load(tmp_path, text)
    assert "gateway.toml" in str(caught.value)


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="KIT_GATEWAY_PORT: 'http'"):
        _load(tmp_path, _SERVICE, KIT_GATEWAY_PORT="http")


def test_the_program_says_what_is_wrong_and_ends_with_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere.toml")]) == 2
    assert "nowhere.toml: cannot be read" in capsys.readouterr().err
    assert main(["--help"]) == 2
    assert "usage" in capsys.readouterr().err
