"""Which calls are traced: the SDK's samplers, asked as cheaply as they let us.

The usual samplers decide by the parent's flag and by a bound for the trace id; those are taken apart once. Any other
one is asked at each call, as the SDK would.
"""

from __future__ import annotations

import re
from typing import Any

from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, StaticSampler, TraceIdRatioBased

__all__ = ["Sampling"]

_LIMIT = 1 << 64
_PARENTS = (
    r"remoteParentSampled:AlwaysOnSampler,remoteParentNotSampled:AlwaysOffSampler,"
    r"localParentSampled:AlwaysOnSampler,localParentNotSampled:AlwaysOffSampler"
)
_USUAL = re.compile(rf"ParentBased\{{root:(?P<root>.+?),{_PARENTS}\}}")


class Sampling:
    """What a sampler decides by."""

    __slots__ = ("asked", "bound", "by_parent")

    def __init__(self, sampler: Sampler) -> None:
        #: The sampler itself, where it has to be asked each time.
        self.asked: Sampler | None = None
        #: Whether a parent's own decision holds.
        self.by_parent = False
        #: Traces are taken whose lower 64 bits are below it.
        self.bound = 0
        root: Any = sampler
        if type(sampler).should_sample is ParentBased.should_sample:
            usual = _USUAL.fullmatch(sampler.get_description())
            root = getattr(sampler, "_root", None) if usual else None
            self.by_parent = usual is not None
        decides = getattr(type(root), "should_sample", None)
        if decides is StaticSampler.should_sample:
            self.bound = _LIMIT if root.get_description() == "AlwaysOnSampler" else 0
        elif decides is TraceIdRatioBased.should_sample:
            self.bound = root.bound
        else:
            self.asked = sampler

    @property
    def is_off(self) -> bool:
        """Whether no trace is ever begun here."""
        return self.asked is None and self.bound == 0
