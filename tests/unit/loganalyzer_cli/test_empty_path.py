"""An empty variable in a script must not import the current folder."""

from __future__ import annotations

import pytest

from services.cli.gateway import GatewayError
from services.cli.importing import absolute


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(GatewayError, match="empty path"):
        absolute("")
