"""Whether to try again, and when: gRFC A6.

Theory of operation. A `Retry` follows one call. After every attempt that failed it is asked once, and answers with a
`Decision`: either a delay, or the reason why the call ends here. The questions are put in this order, and the first
that says no gives the reason:

    is there a policy at all                          OFF
    is any time left                                  DEADLINE
    has the caller seen something of the answer,
    or was more sent than could be kept               COMMITTED
    may the method be executed twice                  NOT_SAFE         unless the attempt provably never left
    is the status worth another attempt               NOT_RETRYABLE    unless it never left, or its own time ran out
    are attempts left                                 ATTEMPTS_EXHAUSTED
    does the server want it (pushback)                PUSHBACK
    does the delay fit into what is left of the call  DEADLINE

Pushback is the server's `grpc-retry-pushback-ms`, a signed 32 bit integer: negative or unreadable means no retry,
otherwise it is the exact delay, and the backoff starts over from its initial value afterwards.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from kit.resilience.backoff import Backoff, Jitter, nth_delay
from kit.resilience.kinds import check_kinds
from kit.resilience.replay import MAX_REPLAY_BUFFER

__all__ = [
    "MAX_ATTEMPTS",
    "Decision",
    "Retry",
    "RetryPolicy",
    "RetryRules",
    "StopReason",
    "parse_pushback",
    "status_code",
]

#: gRFC A6: more is never useful and multiplies load.
MAX_ATTEMPTS = 5
#: UNAVAILABLE
_DEFAULT_CODES = frozenset({14})
_USUAL = Backoff()
_INT32_MAX = 2**31 - 1


class StopReason(enum.Enum):
    """Why a call got no further attempt."""

    OK = "it succeeded"
    OFF = "the method has no retry policy"
    COMMITTED = "part of the answer had arrived, or more had been sent than is kept"
    NOT_SAFE = "the method is not declared idempotent"
    NOT_RETRYABLE = "the status is not worth another attempt"
    ATTEMPTS_EXHAUSTED = "every attempt was used"
    PUSHBACK = "the server asked for no retry"
    THROTTLED = "too many attempts have failed of late: retries are throttled"
    BUDGET_EXHAUSTED = "the retry budget of the target is used up"
    DEADLINE = "no time was left"
    NO_ENDPOINT = "there was no endpoint to send to"
    BREAKER_OPEN = "the circuit breaker of every endpoint refuses"
    LIMITED = "as many calls as allowed were in flight"
    CANCELLED = "the caller gave up"

    @property
    def no_more(self) -> bool:
        """Whether one more round of attempts, asked for from further up, would only add load.

        True where retries were used up here or refused: a server that fails because of such a call answers with
        pushback -1, so that attempts do not multiply from hop to hop. Every reason is named: a new one must decide.
        """
        match self:
            case (
                StopReason.ATTEMPTS_EXHAUSTED
                | StopReason.PUSHBACK
                | StopReason.THROTTLED
                | StopReason.BUDGET_EXHAUSTED
                | StopReason.DEADLINE
                | StopReason.BREAKER_OPEN
                | StopReason.LIMITED
            ):
                return True
            case (
                StopReason.OK
                | StopReason.OFF
                | StopReason.COMMITTED
                | StopReason.NOT_SAFE
                | StopReason.NOT_RETRYABLE
                | StopReason.NO_ENDPOINT
                | StopReason.CANCELLED
            ):
                return False
            case _:
                assert_never(self)


def status_code(field: str, code: object) -> int:
    """The number of a status that a call can fail with, of a number or a grpc.StatusCode (a pair of number and text).

    Raises ValueError, beginning with the field.
    """
    value = getattr(code, "value", code)
    number = value[0] if isinstance(value, tuple) else value
    if not isinstance(number, int) or not 0 < number <= 16:
        hint = "; give members of grpc.StatusCode, as grpc.StatusCode.UNAVAILABLE" if isinstance(code, str) else ""
        raise ValueError(f"{field}: {code!r} is not a status code that a call can fail with{hint}")
    return number


def _codes(codes: Iterable[object]) -> frozenset[int]:
    return frozenset(status_code("retryable_status_codes", code) for code in codes)


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """What a user says about retries; names and meaning are gRFC A6's. None inherits from the next layer out."""

    #: Attempts in all, the first included: 1 turns retry off, 5 is the most.
    max_attempts: int | None = None
    #: Seconds.
    initial_backoff: float | None = None
    #: Seconds.
    max_backoff: float | None = None
    backoff_multiplier: float | None = None
    #: Numbers or grpc.StatusCode values.
    retryable_status_codes: Iterable[object] | None = None
    jitter: Jitter | None = None
    #: Bytes of a stream of requests that are kept so that it can be sent again; 0: it is not.
    replay_buffer_bytes: int | None = None

    def __post_init__(self) -> None:
        check_kinds(self)
        if self.retryable_status_codes is not None:
            object.__setattr__(self, "retryable_status_codes", _codes(self.retryable_status_codes))
        if self.replay_buffer_bytes is not None and not 0 <= self.replay_buffer_bytes <= MAX_REPLAY_BUFFER:
            raise ValueError(f"replay_buffer_bytes must be 0 to {MAX_REPLAY_BUFFER}, not {self.replay_buffer_bytes}")


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryRules:
    """A policy with nothing left open: what the machine works by."""

    max_attempts: int = 1
    backoff: Backoff = _USUAL
    retryable: frozenset[int] = _DEFAULT_CODES
    #: False: only an attempt that provably never left may be made again.
    replay_safe: bool = True
    #: Bytes of a stream of requests that are kept; 0: only an attempt that provably never left may be made again.
    replay_buffer: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.max_attempts <= MAX_ATTEMPTS:
            raise ValueError(f"max_attempts must be 1 to {MAX_ATTEMPTS}, not {self.max_attempts}")

    @classmethod
    def of(cls, policy: RetryPolicy, *, replay_safe: bool) -> RetryRules:
        """Fills what the policy leaves open with the kit's defaults. Raises ValueError, naming the field."""
        codes = policy.retryable_status_codes
        return cls(
            max_attempts=1 if policy.max_attempts is None else policy.max_attempts,
            backoff=Backoff(
                initial=_USUAL.initial if policy.initial_backoff is None else policy.initial_backoff,
                multiplier=_USUAL.multiplier if policy.backoff_multiplier is None else policy.backoff_multiplier,
                maximum=_USUAL.maximum if policy.max_backoff is None else policy.max_backoff,
                jitter=_USUAL.jitter if policy.jitter is None else policy.jitter,
            ),
            retryable=_DEFAULT_CODES if codes is None else _codes(codes),
            replay_safe=replay_safe,
            replay_buffer=0 if policy.replay_buffer_bytes is None else policy.replay_buffer_bytes,
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """Either `delay` (seconds, then try again) or `stop`; never both."""

    delay: float | None
    stop: StopReason | None


_STOP = {reason: Decision(None, reason) for reason in StopReason}


def parse_pushback(value: str | bytes) -> int | None:
    """Milliseconds; None for what means "do not retry": negative, or not a 32 bit integer."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    if not (text.isascii() and text.isdigit()):
        return None
    number = int(text)
    return number if number <= _INT32_MAX else None


class Retry:
    """The attempts of one call, counted. Make it when the first attempt has failed."""

    __slots__ = ("_rules", "_step", "attempts")

    def __init__(self, rules: RetryRules) -> None:
        self._rules = rules
        self._step = 0
        #: Attempts that have failed so far.
        self.attempts = 0

    def failed(
        self,
        code: int,
        *,
        u: float,
        remaining: float,
        committed: bool = False,
        unsent: bool = False,
        timed_out: bool = False,
        pushback: str | bytes | None = None,
    ) -> Decision:
        """What to do after an attempt failed with `code`.

        `remaining` is the time left of the call in seconds; `unsent` says that the attempt provably never reached a
        server, `timed_out` that it ended because its own time was up and not the call's; `pushback` is the server's
        header as it came.
        """
        rules = self._rules
        self.attempts += 1
        if rules.max_attempts == 1:
            return _STOP[StopReason.OFF]
        if remaining <= 0:
            return _STOP[StopReason.DEADLINE]
        if committed:
            return _STOP[StopReason.COMMITTED]
        if not (rules.replay_safe or unsent):
            return _STOP[StopReason.NOT_SAFE]
        if not (unsent or timed_out or code in rules.retryable):
            return _STOP[StopReason.NOT_RETRYABLE]
        if self.attempts >= rules.max_attempts:
            return _STOP[StopReason.ATTEMPTS_EXHAUSTED]
        if pushback is not None:
            milliseconds = parse_pushback(pushback)
            if milliseconds is None:
                return _STOP[StopReason.PUSHBACK]
            self._step = 0
            delay = milliseconds / 1000
        else:
            self._step += 1
            delay = nth_delay(rules.backoff, self._step, u)
        if delay >= remaining:
            return _STOP[StopReason.DEADLINE]
        return Decision(delay, None)
