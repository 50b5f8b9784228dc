"""Errors of a domain become the statuses that the service says."""

from __future__ import annotations

from typing import Any

import pytest

from kit import errors
from kit.pipeline import Shape
from kit.policy import policy_for
from kit.server._call import Handler, ServerCall, ServerMethod
from kit.server._errors import DomainErrorsLayer
from tests.unit.server.fakes import FakeContext

PATH = "/shop.v1.Shop/Buy"
METHOD = ServerMethod(PATH, Shape.UNARY_UNARY, policy_for(PATH))


class ShopError(Exception):
    pass


class SoldOutError(ShopError):
    pass


class NoSuchBookError(ShopError):
    def __init__(self, isbn: str) -> None:
        super().__init__(f"not on any shelf: {isbn}")
        self.isbn = isbn


def to_not_found(error: NoSuchBookError) -> errors.StatusError | None:
    return errors.NotFound("no such book", metadata={"isbn": error.isbn}, reason="NO_BOOK") if error.isbn else None


RULES: Any = {ShopError: errors.Aborted, SoldOutError: errors.FailedPrecondition, NoSuchBookError: to_not_found}


def handler(error: Exception | None) -> Handler:
    async def inner(_call: ServerCall) -> str:
        if error is not None:
            raise error
        return "done"

    return inner


async def raised(error: Exception | None) -> Exception:
    handle = DomainErrorsLayer(RULES).wrap(METHOD, handler(error))
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is, is what the tests ask
        await handle(ServerCall(PATH, None, FakeContext()))  # type: ignore[arg-type]  # a fake
    return caught.value


async def test_an_error_with_a_class_gets_its_text_as_the_message() -> None:
    status = await raised(SoldOutError("no copy is left"))
    assert isinstance(status, errors.FailedPrecondition)
    assert status.message == "no copy is left"
    assert isinstance(status.__cause__, SoldOutError)


async def test_an_error_with_a_function_gets_what_that_makes_of_it() -> None:
    status = await raised(NoSuchBookError("978"))
    assert isinstance(status, errors.NotFound)
    assert (status.message, status.metadata) == ("no such book", {"isbn": "978"})


async def test_a_function_may_leave_an_error_as_it_is() -> None:
    error = NoSuchBookError("")
    assert await raised(error) is error


async def test_the_nearest_base_counts_and_an_error_without_a_rule_stays() -> None:
    class TornError(ShopError):
        pass

    assert isinstance(await raised(TornError("torn")), errors.Aborted)
    error = ValueError("a defect")
    assert await raised(error) is error


async def test_a_status_stays_what_it_is() -> None:
    error = errors.NotFound("x")
    assert await raised(error) is error


async def test_without_rules_the_layer_is_not_there() -> None:
    inner = handler(None)
    assert DomainErrorsLayer().wrap(METHOD, inner) is inner
    assert DomainErrorsLayer({}).wrap(METHOD, inner) is inner


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"x": errors.NotFound}, "no class of exceptions"),
        ({BaseException: errors.NotFound}, "no class of exceptions"),
        ({errors.Aborted: errors.NotFound}, "the kit knows what it means"),
        ({ShopError: ValueError}, "give a class of kit.errors"),
        ({ShopError: "NOT_FOUND"}, "give a class of kit.errors"),
    ],
)
def test_what_is_no_rule_is_refused(rules: Any, said: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=said):
        DomainErrorsLayer(rules)
