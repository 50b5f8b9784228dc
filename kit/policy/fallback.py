"""Whether a fallback fits its method: checked when the policy is loaded, as far as descriptors are known.

What a method is given by its own name or by its service must fit, or it is refused. What comes from "*" is left out
where it does not fit. Methods that stream, and the method that stands in itself, inherit nothing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from kit.errors import PolicyError
from kit.policy.from_proto import find_method
from kit.resilience.fallback import FallbackPolicy, FallbackRules

__all__ = ["STREAMS_HAVE_NO_FALLBACK", "answer_from", "answer_type", "fitting", "is_named", "stand_in_of"]

#: Why a policy that gives a stream a fallback is refused.
STREAMS_HAVE_NO_FALLBACK = "only a call with one request and one answer has a fallback"


def fitting(
    method: str, policy: FallbackPolicy, origins: Mapping[str, str], by_name: Mapping[str, bool]
) -> FallbackRules | None:
    """The rules for "/package.Service/Method"; None where there are none. Raises PolicyError.

    `origins` has the words for where a leaf comes from, `by_name` whether that names the method.
    """
    rules = FallbackRules.of(policy)
    if rules is None:
        answers = (policy.method, policy.cached_for, policy.default_json)
        if by_name.get("fallback.status_codes") and policy.status_codes and answers == (None, None, None):
            raise PolicyError(
                method, "fallback.status_codes", "there is nothing to answer with; name an answer as well"
            )
        return None
    descriptor = find_method(method)
    if descriptor is not None and _streams(descriptor):
        for field in dataclasses.fields(policy):
            name = f"fallback.{field.name}"
            if by_name.get(name) and getattr(policy, field.name):
                raise PolicyError(method, name, STREAMS_HAVE_NO_FALLBACK)
        return None
    if rules.method is not None:
        rules = _with_method(method, rules, descriptor, origins, by_name)
    if rules.default_json is not None:
        rules = _with_default(method, rules, descriptor, origins)
    return rules if rules.cached_for or rules.method or rules.default_json else None


def is_named(method: str, origins: Mapping[str, str]) -> bool:
    """Whether the code or a file gives the method a fallback by its name; for methods without a descriptor."""
    return any(name.startswith("fallback.") and origin.endswith(f'"{method}"') for name, origin in origins.items())


def stand_in_of(method: str, rules: FallbackRules | None) -> str | None:
    """ "/package.Service/Method" of the method that stands in for `method`."""
    return f"{method.rpartition('/')[0]}/{rules.method}" if rules is not None and rules.method is not None else None


def answer_type(method: str) -> type[Message] | None:
    """The message that the method answers with; None where no descriptor is known."""
    descriptor = find_method(method)
    return None if descriptor is None else message_factory.GetMessageClass(descriptor.output_type)


def answer_from(text: str, kind: type[Message]) -> Message:
    """A message from protobuf's JSON; "{}" is the empty one of every type. Raises ValueError."""
    answer = kind()
    if json.loads(text) != {}:
        try:
            json_format.Parse(text, answer)
        except json_format.ParseError as error:
            raise ValueError(str(error)) from error
    return answer


def _streams(descriptor: MethodDescriptor) -> bool:
    return bool(descriptor.client_streaming or descriptor.server_streaming)


def _is_for_all(name: str, origins: Mapping[str, str]) -> bool:
    return origins[name].endswith('"*"')


def _with_method(
    method: str,
    rules: FallbackRules,
    descriptor: MethodDescriptor | None,
    origins: Mapping[str, str],
    by_name: Mapping[str, bool],
) -> FallbackRules:
    """The rules with a method that can stand in, or without one."""
    name = "fallback.method"
    path = stand_in_of(method, rules)
    assert path is not None
    if path == method:
        if by_name.get(name):
            raise PolicyError(method, name, "a method does not stand in for itself")
    else:
        fault = _why_not(descriptor, find_method(path), path)
        if fault is None:
            return rules
        if not _is_for_all(name, origins):
            raise PolicyError(method, name, fault)
    return dataclasses.replace(rules, method=None)


def _why_not(asked: MethodDescriptor | None, other: MethodDescriptor | None, path: str) -> str | None:
    """Why one method cannot stand in for the other; None where it can, or where that cannot be told."""
    if other is not None and _streams(other):
        return f"{path} streams; a method with one request and one answer is needed"
    if asked is None:
        return None
    if other is None:
        return f"there is no {path}; name a method of the same service"
    for word, mine, its in (
        ("takes", asked.input_type, other.input_type),
        ("gives", asked.output_type, other.output_type),
    ):
        if mine.full_name != its.full_name:
            return f"{path} {word} {its.full_name}, and not {mine.full_name}"
    return None


def _with_default(
    method: str, rules: FallbackRules, descriptor: MethodDescriptor | None, origins: Mapping[str, str]
) -> FallbackRules:
    """The rules with a default that is an answer of the method, or without one."""
    name = "fallback.default_json"
    text = rules.default_json
    assert text is not None
    try:
        json.loads(text)
    except ValueError as error:
        raise PolicyError(method, name, f"is not JSON: {error}") from error
    if descriptor is not None:
        try:
            answer_from(text, message_factory.GetMessageClass(descriptor.output_type))
        except ValueError as error:
            if not _is_for_all(name, origins):
                raise PolicyError(method, name, f"is no {descriptor.output_type.full_name}: {error}") from error
            return dataclasses.replace(rules, default_json=None)
    return rules
