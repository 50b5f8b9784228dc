"""How a call with a key begins and ends: what it is known by, and what is kept of its answer."""

from __future__ import annotations

import hashlib
from typing import Any

import grpc
import grpc.aio

from kit.errors import code_from_int
from kit.server._answers import answer_to
from kit.server._call import Serialized, ServerCall
from kit.server.idempotency._answer import REPLAY_KEY, STORED, Answer, kept_metadata

__all__ = ["caller_of", "code_set", "fingerprint_of", "refusal", "replay", "set_by_handler"]

#: Characters of a caller's name that are kept as they are; longer names, and odd ones, are kept as a digest.
MAX_NAME = 200


async def replay(call: ServerCall, kept: bytes) -> Any:
    """Ends the call as the one before it."""
    answer, context = Answer.from_bytes(kept), call.context
    trailing = (*(context.trailing_metadata() or ()), *answer.trailing, (REPLAY_KEY, "true"))
    if answer.code is not grpc.StatusCode.OK:
        await context.abort(answer.code, answer.details, trailing)
    context.set_trailing_metadata(trailing)
    return Serialized(answer.response)


def refusal(call: ServerCall, error: BaseException) -> bytes | None:
    """What is kept of a call that an error ended; None where nothing is."""
    if isinstance(error, grpc.aio.AbortError):
        return set_by_handler(call)
    if not isinstance(error, Exception):
        return None
    said = answer_to(error, str)
    return _failure(call, said.code, said.message, said.trailing)


def set_by_handler(call: ServerCall) -> bytes | None:
    """The same where the handler set the status itself, by `abort` or `set_code`."""
    code = code_set(call)
    return None if code is None else _failure(call, code, str(call.context.details() or ""), ())


def code_set(call: ServerCall) -> grpc.StatusCode | None:
    """The status code that the call's context has, by `abort` or `set_code`."""
    # An int where it was not set, whatever grpc's stubs say.
    code: Any = call.context.code()
    if not code:
        return None
    return code if isinstance(code, grpc.StatusCode) else code_from_int(code)


def _failure(call: ServerCall, code: grpc.StatusCode, details: str, trailing: tuple[Any, ...]) -> bytes | None:
    if code not in STORED:
        return None
    pairs = kept_metadata((*(call.context.trailing_metadata() or ()), *trailing))
    return Answer(code, details, b"", pairs).to_bytes()


def caller_of(call: ServerCall) -> str:
    """Whose key it is; "" where nobody has been authenticated."""
    who = call.principal
    if who is None:
        return ""
    name = f"{who.method}:{who.claims.get('iss', '')}:{who.name}"
    if len(name) <= MAX_NAME and name.isprintable():
        return name
    return f"sha256:{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}"


def fingerprint_of(request: Any) -> bytes:
    """A digest of the request. The same message has the same, whatever the order of its maps on the wire."""
    if not isinstance(request, bytes):
        if not hasattr(request, "SerializeToString"):
            raise TypeError(f"requests of {type(request).__name__} cannot be told apart; messages and bytes can")
        request = request.SerializeToString(deterministic=True)
    return hashlib.sha256(request).digest()
