"""The defaults: the kit's own, and the presets that replace them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from kit.policy.model import IdempotencyLevel, Preset
from kit.resilience.backoff import Backoff, Jitter

__all__ = ["DEFAULTS", "PRESETS"]

_USUAL = Backoff()

#: With nothing declared a call is made once and may take as long as its caller's deadline allows.
DEFAULTS: Mapping[str, Any] = {
    "timeout": math.inf,
    "per_try_timeout": math.inf,
    "retry.max_attempts": 1,
    "retry.initial_backoff": _USUAL.initial,
    "retry.max_backoff": _USUAL.maximum,
    "retry.backoff_multiplier": _USUAL.multiplier,
    "retry.retryable_status_codes": frozenset({14}),
    "retry.jitter": _USUAL.jitter,
    "retry.replay_buffer_bytes": 0,
    "rate.cost": 1,
    "downstream": (),
    "idempotency_level": IdempotencyLevel.UNKNOWN,
}

_PRODUCTION: Mapping[str, Any] = {
    "per_try_timeout": 30.0,
    "retry.max_attempts": 4,
    "retry.initial_backoff": 1.0,
    "retry.max_backoff": 10.0,
    "retry.backoff_multiplier": 2.0,
    "retry.jitter": Jitter.PLUS_MINUS_25,
}

PRESETS: Mapping[Preset, Mapping[str, Any]] = {
    Preset.DEVELOPMENT: {**_PRODUCTION, "per_try_timeout": 10.0, "retry.max_attempts": 2, "retry.initial_backoff": 0.5},
    Preset.PRODUCTION: _PRODUCTION,
    # The same figures; it is the name for deletions and the like, which must be declared idempotent.
    Preset.CRITICAL: _PRODUCTION,
}
