"""A service says once what the errors of its domain are to a caller, for every shape and style."""

from __future__ import annotations

import logging

import grpc
import pytest

import kit
from kit.errors import details_of
from tests.integration.server.conftest import Serve
from tests.integration.server.echo import METHODS, Context, failure


class ShopError(Exception):
    pass


class SoldOutError(ShopError):
    pass


@pytest.mark.parametrize("method", METHODS)
async def test_an_error_of_the_domain_arrives_as_the_status_of_its_rule(
    serve: Serve, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(text: str, context: Context) -> None:
        raise SoldOutError("no copy is left")

    def explained(error: ShopError) -> kit.errors.StatusError:
        return kit.errors.FailedPrecondition(str(error), reason=type(error).__name__, domain="shop")

    served = await serve(act, errors={ShopError: explained})
    details = details_of(await failure(served.channel, method))
    assert (details.code, details.message) == (grpc.StatusCode.FAILED_PRECONDITION, "no copy is left")
    assert (details.reason, details.domain) == ("SoldOutError", "shop")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_defect_in_a_rule_is_a_defect(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def act(text: str, context: Context) -> None:
        raise SoldOutError("no copy is left")

    def broken(error: ShopError) -> kit.errors.StatusError:
        raise KeyError("postgres://shop:hunter2@db")

    served = await serve(act, errors={ShopError: broken})
    error = await failure(served.channel, "UnaryUnary")
    assert error.code() is grpc.StatusCode.INTERNAL
    (record,) = [record for record in caplog.records if record.name == "kit.error"]
    assert str(error.details()).rpartition(" ")[2] in record.getMessage()
    assert "hunter2" not in caplog.text
    assert "KeyError" in caplog.text
