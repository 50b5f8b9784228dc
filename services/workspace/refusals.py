"""What is refused in the same words by more than one method."""

from __future__ import annotations

from collections.abc import Collection

from google.protobuf.message import Message

from kit.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound
from services.workspace import names


def check_mask(paths: Collection[str], changeable: Collection[str], resource: Message) -> Collection[str]:
    """The paths. Refuses those that do not exist or cannot be changed; an empty mask means every field that can be."""
    fields = resource.DESCRIPTOR.fields_by_name
    violations = [
        FieldViolation(
            "update_mask", f'"{path}" cannot be changed' if path in fields else f'there is no field "{path}"'
        )
        for path in paths
        if path not in changeable and path != "*"
    ]
    if violations:
        sentence = "; ".join(violation.description for violation in violations)
        raise InvalidArgument(f"update_mask: {sentence}", violations=violations)
    return paths


def not_found(name: str) -> NotFound:
    """The error for a workspace that is not there."""
    return NotFound(f"there is no {name}", reason="WORKSPACE_NOT_FOUND", domain=names.DOMAIN, metadata={"name": name})


def being_deleted(name: str, **metadata: str) -> FailedPrecondition:
    """The error for a workspace that cannot be used any more."""
    return FailedPrecondition(
        f"{name} is being deleted",
        reason="WORKSPACE_DELETING",
        domain=names.DOMAIN,
        metadata={"name": name, **metadata},
    )
