"""What a gateway serves and how: a TOML file, with the environment above it.

Without a file the built-in `loganalyzer.toml` is taken. Every key is optional but a service's name and what it serves;
a key that is not known is refused. The environment wins over the file:

    KIT_GATEWAY_HOST  KIT_GATEWAY_PORT  KIT_GATEWAY_RATE  KIT_GATEWAY_BURST  KIT_GATEWAY_MAX_UPLOAD_BYTES
    KIT_GATEWAY_ACCESS_LOG (1 or 0)     KIT_TARGET_<NAME>, the target of one service
    KIT_DRAIN_DELAY  KIT_GRACE  KIT_REGISTER, as for every process of the kit
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

from gateway.guard import is_loopback
from gateway.ratelimit import Limit
from kit.errors import ConfigurationError

__all__ = ["Config", "Service", "load"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service behind the gateway. What it serves is named by generated modules, a descriptor set, or both."""

    name: str
    #: As `kit.channel` takes it. "" means "local:///" and the name.
    target: str = ""
    #: "loganalyzer.search.v1.search_pb2"
    modules: tuple[str, ...] = ()
    #: A FileDescriptorSet, as `protoc --include_imports --descriptor_set_out` writes it; relative to the file.
    descriptor_set: str = ""
    #: Patterns of "package.Service/Method" that are served; empty means all that have a rule.
    methods: tuple[str, ...] = ()
    #: Whether the gateway is ready only when this service is.
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One gateway. Sizes are bytes, times seconds."""

    services: tuple[Service, ...] = ()
    host: str = "127.0.0.1"
    #: 0 takes a free one.
    port: int = 8080
    #: Values of the Host header that a gateway on loopback answers to, beside loopback's own names: "logs.lan:8080".
    allowed_hosts: tuple[str, ...] = ()
    #: Origins whose pages may use the gateway, beside its own: "https://logs.example".
    allowed_origins: tuple[str, ...] = ()
    console: bool = True
    access_log: bool = True
    #: Per client. The default never hampers a console or a benchmark of one machine.
    limit: Limit = field(default_factory=Limit)
    #: A JSON body: grpc takes messages of 4 MiB unless told otherwise.
    max_body_bytes: int = 4 << 20
    #: An upload. Large: what may be stored is the importer's to say.
    max_upload_bytes: int = 1 << 40
    #: An upload of which nothing arrives for as long is given up.
    upload_idle: float = 60.0
    #: Silence of a stream after which a sign of life is sent. Proxies cut at 30 s and more.
    heartbeat: float = 15.0
    #: From the signal to the stop: /readyz says no, requests are still taken.
    drain_delay: float = 0.0
    #: What requests in flight have to end in.
    grace: float = 10.0
    #: Stand in the local registry.
    register: bool = True


_TABLES = {
    "server": ("host", "port", "allowed_hosts", "allowed_origins", "console", "access_log"),
    "body": ("max_body_bytes", "max_upload_bytes", "upload_idle"),
    "stream": ("heartbeat",),
    "stop": ("drain_delay", "grace"),
}


def load(path: Path | None, env: Mapping[str, str]) -> Config:
    """Reads a configuration; None is the built-in one. Raises ConfigurationError that names the file and the key."""
    source = resources.files("gateway").joinpath("loganalyzer.toml") if path is None else path
    try:
        document = tomllib.loads(source.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path or 'loganalyzer.toml'}: is not TOML: {error}") from error
    try:
        return _with_env(document, env, Path() if path is None else path.parent)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path or 'loganalyzer.toml'}: {error}") from error


def _with_env(document: dict[str, Any], env: Mapping[str, str], folder: Path) -> Config:
    values: dict[str, Any] = {}
    for table, keys in _TABLES.items():
        for key, value in _table(document, table).items():
            if key not in keys:
                raise ConfigurationError(f"{table}.{key}: is not known; known are {', '.join(keys)}")
            values[key] = _typed(f"{table}.{key}", value, Config, key)
    limit = {key: _typed(f"limit.{key}", value, Limit, key) for key, value in _table(document, "limit").items()}
    if unknown := document.keys() - _TABLES.keys() - {"limit", "services"}:
        raise ConfigurationError(f"{min(unknown)}: is not known")
    for key, variable in (("host", "HOST"), ("port", "PORT"), ("max_upload_bytes", "MAX_UPLOAD_BYTES")):
        _from_env(values, key, env, f"KIT_GATEWAY_{variable}", str if key == "host" else int)
    _from_env(values, "access_log", env, "KIT_GATEWAY_ACCESS_LOG", _switch)
    _from_env(limit, "rate", env, "KIT_GATEWAY_RATE", float)
    _from_env(limit, "burst", env, "KIT_GATEWAY_BURST", int)
    _from_env(values, "drain_delay", env, "KIT_DRAIN_DELAY", float)
    _from_env(values, "grace", env, "KIT_GRACE", float)
    values.setdefault("register", is_loopback(values.get("host", Config().host)))
    _from_env(values, "register", env, "KIT_REGISTER", _switch)
    config = Config(services=_services(document, env, folder), limit=Limit(**limit), **values)
    _check(config)
    return config


def _table(document: dict[str, Any], name: str) -> dict[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"{name}: must be a table, [{name}]")
    return table


def _services(document: dict[str, Any], env: Mapping[str, str], folder: Path) -> tuple[Service, ...]:
    entries = document.get("services", [])
    if not isinstance(entries, list) or not entries:
        raise ConfigurationError("services: at least one [[services]] is needed")
    found: list[Service] = []
    for index, entry in enumerate(entries):
        where = f"services[{index}]"
        if not isinstance(entry, dict):
            raise ConfigurationError(f"{where}: must be a table, [[services]]")
        values = {key: _typed(f"{where}.{key}", value, Service, key) for key, value in entry.items()}
        name = values.get("name", "")
        if not name or not name.replace("-", "").isalnum():
            raise ConfigurationError(f"{where}.name: must be letters, digits and '-'")
        if name in {service.name for service in found}:
            raise ConfigurationError(f"{where}.name: {name} stands there twice")
        if not values.get("modules") and not values.get("descriptor_set"):
            raise ConfigurationError(f"{where}.modules: modules or descriptor_set must say what {name} serves")
        values["target"] = (
            env.get(f"KIT_TARGET_{name.upper().replace('-', '_')}") or values.get("target") or f"local:///{name}"
        )
        if values.get("descriptor_set"):
            values["descriptor_set"] = str(folder / values["descriptor_set"])
        found.append(Service(**values))
    return tuple(found)


def _typed(where: str, value: Any, owner: type, key: str) -> Any:
    kind = next((one.type for one in fields(owner) if one.name == key), None)
    if kind == "tuple[str, ...]" and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    wanted: Mapping[Any, tuple[tuple[type, ...], str]] = {
        "str": ((str,), "a string"),
        "int": ((int,), "a whole number"),
        "float": ((int, float), "a number"),
        "bool": ((bool,), "true or false"),
        "tuple[str, ...]": ((), "a list of strings"),
    }
    if kind not in wanted:
        raise ConfigurationError(f"{where}: is not known")
    types, words = wanted[kind]
    if not isinstance(value, types) or (isinstance(value, bool) and kind != "bool"):
        raise ConfigurationError(f"{where}: must be {words}")
    return value


def _from_env(
    values: dict[str, Any], key: str, env: Mapping[str, str], variable: str, convert: Callable[[str], Any]
) -> None:
    text = env.get(variable, "")
    if not text:
        return
    try:
        values[key] = convert(text)
    except ValueError:
        raise ConfigurationError(f"{variable}: {text!r} is not a value for it") from None


def _switch(text: str) -> bool:
    if text not in {"0", "1"}:
        raise ValueError(text)
    return text == "1"


def _check(config: Config) -> None:
    if not 0 <= config.port <= 65535:
        raise ConfigurationError("server.port: must be 0 to 65535")
    for table, key in (("body", "max_body_bytes"), ("body", "max_upload_bytes")):
        if getattr(config, key) < 1:
            raise ConfigurationError(f"{table}.{key}: must be at least 1 byte")
    for table, key in (("body", "upload_idle"), ("stream", "heartbeat")):
        if not 0 < getattr(config, key) < math.inf:
            raise ConfigurationError(f"{table}.{key}: must be more than 0 s")
    for table, key in (("stop", "drain_delay"), ("stop", "grace")):
        if not 0 <= getattr(config, key) < math.inf:
            raise ConfigurationError(f"{table}.{key}: must be 0 s or more")
