"""Binds the variables of a path and the parameters of a query to the fields of a request message."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from gateway.transcode.fields import Target, UnknownFieldError, is_scalar_like, resolve
from gateway.transcode.router import decode
from gateway.transcode.template import Template, Variable
from kit.errors import FieldViolation, InvalidArgument

__all__ = ["Binder", "BindingError", "invalid"]

#: Parameters that a query may have. Far more than any method has fields; a bound for hostile ones.
MAX_PARAMETERS = 1000
_MAX_CACHED = 1024


class BindingError(ValueError):
    """A template and a request message that do not fit together; found when routes are compiled."""


def invalid(field: str, description: str) -> InvalidArgument:
    """The refusal of one field's value."""
    return InvalidArgument(
        f"{field} {description}." if field else f"{description}.", violations=[FieldViolation(field, description)]
    )


class Binder:
    """Binds what does not come in the body. `body` is the rule's: "", "*" or the name of a field."""

    def __init__(self, request: Descriptor, template: Template, body: str) -> None:
        self._request = request
        self._body = body
        self._path: list[tuple[Variable, Target]] = []
        for variable in template.variables:
            try:
                target = resolve(request, variable.field_path)
            except ValueError as error:
                raise BindingError(f"{template.text}: {variable.field_path} {error}") from None
            if target.field.is_repeated or not is_scalar_like(target.field):
                raise BindingError(f"{template.text}: {variable.field_path} cannot be bound to a path")
            self._path.append((variable, target))
        if body not in {"", "*"} and request.fields_by_name.get(body) is None:
            raise BindingError(f"{template.text}: {request.full_name} has no field {body!r} for the body")
        self._targets: dict[str, Target] = {}

    @property
    def path_fields(self) -> tuple[tuple[str, ...], ...]:
        """Names that lead to the fields which the path binds."""
        return tuple(target.path for _, target in self._path)

    def bind_path(self, message: Message, segments: Sequence[str]) -> None:
        """Sets the fields of the path. Raises InvalidArgument."""
        for variable, target in self._path:
            raw = "/".join(segments[variable.start : variable.end])
            try:
                target.put(message, decode(raw, keep_slashes=variable.multi))
            except ValueError as error:
                raise invalid(target.name, str(error)) from None

    def bind_query(self, message: Message, query: bytes) -> None:
        """Sets the fields of the query. Raises InvalidArgument, for a parameter that is unknown as well."""
        if not query:
            return
        seen: set[str] = set()
        oneofs: dict[tuple[tuple[str, ...], str], str] = {}
        for name, value in _parameters(query):
            if self._body == "*":
                raise invalid(name, "cannot be a query parameter: this method takes everything in its body")
            target = self._target(name)
            if not target.field.is_repeated:
                if target.name in seen:
                    raise invalid(target.name, "is given more than once")
                seen.add(target.name)
            oneof = target.field.containing_oneof
            if oneof is not None and (other := oneofs.setdefault((target.path[:-1], oneof.name), target.name)) != (
                target.name
            ):
                raise invalid(target.name, f"cannot be given together with {other}")
            try:
                target.put(message, value)
            except ValueError as error:
                raise invalid(target.name, str(error)) from None

    def _target(self, name: str) -> Target:
        known = self._targets.get(name)
        if known is not None:
            return known
        try:
            target = resolve(self._request, name)
        except UnknownFieldError:
            raise invalid(name, "is not a parameter of this method") from None
        except ValueError as error:
            raise invalid(name, str(error)) from None
        if target.path[0] == self._body:
            raise invalid(target.name, "belongs into the body, not into the query")
        if target.path in self.path_fields:
            raise invalid(target.name, "is given by the path and cannot be a query parameter as well")
        if len(self._targets) < _MAX_CACHED:
            self._targets[name] = target
        return target


def _parameters(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeDecodeError:
        raise invalid("", "The query string is not UTF-8") from None
    except ValueError:
        raise invalid("", f"The query string has more than {MAX_PARAMETERS} parameters") from None
