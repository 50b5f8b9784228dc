"""Whether the fields of options hold what their annotations say.

Theory of operation. A comparison with a value of a wrong type raises, but names neither the field nor what to write. So
options look at themselves first, by the annotations that they have anyway: a number is an int or a float and no bool, a
text is no sequence, an enumeration takes its members only. An annotation that is nothing of these allows everything.
What is found is said in words that begin with the field's name.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

__all__ = ["annotated", "check_kinds", "fault_of_kind"]

_read: dict[type, dict[str, tuple[Any, bool]]] = {}


def annotated(options: type) -> dict[str, tuple[Any, bool]]:
    """The annotation of each field of a dataclass, without None; and whether it may be None, which is unset."""
    found = _read.get(options)
    if found is None:
        hints = typing.get_type_hints(options)
        found = _read[options] = {field.name: _apart(hints[field.name]) for field in fields(options)}
    return found


def _apart(hint: Any) -> tuple[Any, bool]:
    parts = typing.get_args(hint)
    if type(None) not in parts:
        return hint, False
    left = [part for part in parts if part is not type(None)]
    return left[0] if len(left) == 1 else tuple(left), True


def check_kinds(options: object) -> None:
    """For `__post_init__`: raises TypeError."""
    for name, (hint, may_be_unset) in annotated(type(options)).items():
        value = getattr(options, name)
        fault = None if value is None and may_be_unset else fault_of_kind(value, hint)
        if fault is not None:
            raise TypeError(f"{name} {fault}")


def fault_of_kind(value: object, hint: Any) -> str | None:
    """What is wrong with a value for a field of that annotation: "must be a number, not '5'"; None for nothing."""
    wanted = _wanted(value, hint)
    if wanted is None:
        return None
    seconds = "; write its .total_seconds()" if hasattr(value, "total_seconds") else ""
    return f"must be {wanted}, not {value!r}{seconds}"


def _wanted(value: object, hint: Any) -> str | None:
    """What the value would have to be; None where it is that."""
    if hint is float:
        return None if isinstance(value, (int, float)) and not isinstance(value, bool) else "a number"
    if hint is int:
        return None if isinstance(value, int) and not isinstance(value, bool) else "a whole number"
    if hint is bool:
        return None if isinstance(value, bool) else "True or False"
    if hint is str:
        return None if isinstance(value, str) else "a text"
    if typing.get_origin(hint) is Iterable:
        return None if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) else "a list or set"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        names = ", ".join(f"{hint.__name__}.{member.name}" for member in hint)
        return None if isinstance(value, hint) else f"one of {names}"
    return None
