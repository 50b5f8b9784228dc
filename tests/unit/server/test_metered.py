"""Where a server shows its metrics."""

from __future__ import annotations

import pytest

from kit.server import _metered
from kit.server._metered import metrics_address


@pytest.mark.parametrize(
    ("listen", "environ", "expected"),
    [
        (None, {}, ""),
        (None, {"KIT_METRICS_LISTEN": "127.0.0.1:9464"}, "127.0.0.1:9464"),
        ("", {"KIT_METRICS_LISTEN": "127.0.0.1:9464"}, ""),
        ("127.0.0.1:1", {"KIT_METRICS_LISTEN": "127.0.0.1:9464"}, "127.0.0.1:1"),
    ],
)
def test_what_the_code_says_goes_before_the_environment(
    listen: str | None, environ: dict[str, str], expected: str
) -> None:
    assert metrics_address(listen, environ) == expected


def test_of_several_workers_none_listens_since_their_parent_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_metered, "processes", lambda: 2)
    assert metrics_address(None, {"KIT_METRICS_LISTEN": "127.0.0.1:9464"}) == ""
