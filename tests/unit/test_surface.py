"""The public names, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import kit
import kit.client
from kit.client import events

PROJECT = Path(kit.__file__).parent.parent


def test_every_public_name_is_there() -> None:
    assert all(getattr(kit, name) is not None for name in kit.__all__)
    assert kit.testing.VirtualClock is not None


def test_every_enumeration_that_a_policy_takes_is_a_public_name() -> None:
    for name in ("BalanceKind", "BreakerKind", "IdempotencyLevel", "Jitter", "Preset"):
        assert getattr(kit, name) is getattr(kit.policy, name)
        assert name in kit.__all__


def test_every_event_of_a_channel_is_a_name_of_the_client() -> None:
    found = {name for name, value in vars(events).items() if isinstance(value, type)}
    wanted = {name for name in found if issubclass(getattr(events, name), events.ChannelEvent)}
    assert wanted >= {"ChannelEvent", "WarmedUp", "PolicyReloaded"}
    assert wanted <= set(kit.client.__all__)
    assert all(getattr(kit.client, name) is getattr(events, name) for name in wanted)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        kit.nothing  # noqa: B018


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(kit.__file__).parent / "py.typed").is_file()


def test_importing_the_kit_brings_neither_tests_nor_services_nor_what_is_heavy() -> None:
    heavy = (
        "kit.testing",
        "services",
        "gateway",
        "sqlalchemy",
        "tantivy",
        "httpx",
        "opentelemetry.exporter",
    )
    program = f"import sys, kit; print([name for name in {heavy!r} if name in sys.modules])"
    environment = {"PYTHONPATH": f"{PROJECT}:{PROJECT / 'protos' / 'gen'}"}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
