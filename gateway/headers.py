"""What request headers say beyond their text: the body's type, its encoding, the time that the client gives."""

from __future__ import annotations

import re

import grpc

from gateway.exchange import Exchange
from gateway.problem import refused
from gateway.transcode.binding import invalid
from kit.resilience.idempotency import IdempotencyKeyMode, fault_of

__all__ = ["check_encoding", "check_json_type", "check_raw_type", "idempotency_key_of", "timeout_of"]

_GRPC_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_GRPC_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def check_json_type(exchange: Exchange) -> None:
    """A body without a type is taken for JSON. Raises RefusedError (415)."""
    media, *parameters = (part.strip().lower() for part in exchange.header(b"content-type").split(";"))
    charsets = [part.partition("=")[2].strip('"') for part in parameters if part.startswith("charset=")]
    is_json = media in {"", "application/json"} or (media.startswith("application/") and media.endswith("+json"))
    if not is_json or any(charset not in {"utf-8", "utf8", "us-ascii"} for charset in charsets):
        raise refused(
            415,
            grpc.StatusCode.INVALID_ARGUMENT,
            "UNSUPPORTED_MEDIA_TYPE",
            "The body must be JSON in UTF-8: send it with Content-Type: application/json.",
        )


def check_raw_type(exchange: Exchange) -> None:
    """Raises RefusedError (415) for a form where the file itself is the body."""
    if exchange.header(b"content-type").partition(";")[0].strip().lower() == "multipart/form-data":
        raise refused(
            415,
            grpc.StatusCode.INVALID_ARGUMENT,
            "UNSUPPORTED_MEDIA_TYPE",
            "Send the file itself as the body, not as a form (with curl: --data-binary @FILE instead of -F).",
        )


def check_encoding(exchange: Exchange) -> None:
    """Raises RefusedError (415) for a compressed body."""
    if exchange.header(b"content-encoding").lower() not in {"", "identity"}:
        raise refused(
            415,
            grpc.StatusCode.INVALID_ARGUMENT,
            "UNSUPPORTED_CONTENT_ENCODING",
            "A body must be sent without Content-Encoding.",
            headers=((b"accept-encoding", b"identity"),),
        )


def idempotency_key_of(exchange: Exchange, mode: IdempotencyKeyMode) -> str:
    """The Idempotency-Key header, with or without the quotes of a structured header; "" where none is needed.

    Raises RefusedError (400) for one that is no key, and where one is required and missing.
    """
    if mode is IdempotencyKeyMode.NONE:
        return ""
    key = exchange.header(b"idempotency-key").strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key:
        if mode is IdempotencyKeyMode.REQUIRED:
            raise invalid(
                "Idempotency-Key",
                "is required: send a value of your own, such as a UUID, and the same again on a retry",
            )
        return ""
    fault = fault_of([key])
    if fault is not None:
        raise invalid("Idempotency-Key", fault.removeprefix("it "))
    return key


def timeout_of(exchange: Exchange) -> float | None:
    """Seconds that the client gives: X-Request-Timeout ("2.5") or grpc-timeout ("2500m"); None leaves it to policy."""
    text = exchange.header(b"x-request-timeout")
    if text:
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 < seconds <= 1e9:
            raise invalid("X-Request-Timeout", "must be seconds, more than 0, such as 2.5")
        return seconds
    text = exchange.header(b"grpc-timeout")
    if not text:
        return None
    match = _GRPC_TIMEOUT.fullmatch(text)
    if match is None:
        raise invalid("grpc-timeout", "must be a number and a unit of H M S m u n, such as 2500m")
    return int(match[1]) * _GRPC_UNITS[match[2]]
