"""The errors of a service's own domain, and the statuses that they become.

A service raises what its domain calls the failure, and says once what that is to a caller:

    kit.Server("shop", errors={SoldOut: kit.errors.FailedPrecondition, NoSuchBook: lambda error: NotFound(...)})

The layer is the innermost, so that every other one sees statuses.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import grpc.aio

from kit.errors import ConfigurationError, StatusError
from kit.server._call import Handler, ServerCall, ServerMethod

__all__ = ["DomainErrorsLayer", "ErrorRules"]

#: What an error becomes: a status that has the error's text as its message, or what a function makes of the error. A
#: function may return None: then the error is what it would be without it.
Becomes: TypeAlias = type[StatusError] | Callable[[Any], StatusError | None]
ErrorRules: TypeAlias = Mapping[type[Exception], Becomes]


class DomainErrorsLayer:
    """Raises a status in the place of an error that has a rule: its own, or that of the nearest of its bases."""

    name = "domain errors"

    def __init__(self, rules: ErrorRules | None = None) -> None:
        """Raises ConfigurationError for what is no rule."""
        self._rules = dict(rules or {})
        for kind, becomes in self._rules.items():
            if not (inspect.isclass(kind) and issubclass(kind, Exception)):
                raise ConfigurationError(f"errors: {kind!r} is no class of exceptions")
            if issubclass(kind, StatusError | grpc.aio.BaseError):
                raise ConfigurationError(
                    f"errors: {kind.__name__} is no error of a domain: the kit knows what it means"
                )
            is_status = inspect.isclass(becomes) and issubclass(becomes, StatusError)
            if not is_status and (inspect.isclass(becomes) or not callable(becomes)):
                raise ConfigurationError(
                    f"errors: {kind.__name__} becomes {becomes!r}; give a class of kit.errors, such as NotFound, or a "
                    "function that takes the error and returns one"
                )

    def wrap(self, method: ServerMethod, inner: Handler) -> Handler:
        """See `Layer`."""
        if not self._rules:
            return inner

        async def handle(call: ServerCall) -> Any:
            try:
                return await inner(call)
            except Exception as error:
                status = self._status_of(error)
                if status is None:
                    raise
                raise status from error

        return handle

    def _status_of(self, error: Exception) -> StatusError | None:
        becomes = next((self._rules[kind] for kind in type(error).__mro__ if kind in self._rules), None)
        if becomes is None or isinstance(error, StatusError):
            return None
        return becomes(str(error)) if isinstance(becomes, type) else becomes(error)
