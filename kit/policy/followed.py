"""The policies of the methods that a channel calls or a server serves; they follow the TOML files that they stand in.

Theory of operation. Each second the files (`policy=path`, and the one that KIT_POLICY names) are looked at, also behind
a link, as Kubernetes changes them. A change that has stood still for one look is read and put to the test: the policies
of all methods that are in use, and of those that the file names, are worked out, and their chains of layers are built.
If anything is wrong with any of them the file is refused as a whole and the old one stays in force; otherwise all
methods whose policy is another one change over at once. That costs calls nothing: a stub holds its method and its
chain, and is given others. Calls in flight end as they began.

What layers keep (breakers, throttles, budgets, places) they keep by rules, so what has the same rules as before has the
same state. What no method has any more is let go of.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from kit.clock import Clock
from kit.errors import ConfigurationError
from kit.policy.early import check_early
from kit.policy.leaves import Leaves
from kit.policy.model import MethodPolicy
from kit.policy.resolve import Overrides, PolicySource, Resolved, check_source, overrides_from, policy_for
from kit.policy.watched import WatchedFile, check_names, named

__all__ = ["INTERVAL", "Policies", "Tell"]

#: Seconds between two looks at the files. A look is one stat for each.
INTERVAL = 1.0

#: Is told of a file that has changed: its path, the methods whose policy is another one now, and why it was refused.
Tell: TypeAlias = Callable[[Path, tuple[str, ...], str], None]

_T = TypeVar("_T")


class _Bound:
    """A method that is in use."""

    __slots__ = ("build", "path", "policy", "take")

    def __init__(
        self, path: str, policy: Resolved, build: Callable[[Resolved], Any], take: Callable[[Any], None]
    ) -> None:
        self.path = path
        self.policy = policy
        self.build = build
        self.take = take


class Policies:
    """See the module."""

    def __init__(self, source: PolicySource, clock: Clock, tell: Tell) -> None:
        """Reads and checks what is given. Raises PolicyError."""
        #: Is called after each change with the policies that are in use.
        self.keep: Callable[[Sequence[Resolved]], None] | None = None
        #: Is called before a change is taken with what gives the policies that would be in force; raises
        #: ConfigurationError for what whoever uses them cannot do.
        self.test: Callable[[Callable[[str], Resolved]], None] | None = None
        self._clock = clock
        self._tell = tell
        self._bound: list[_Bound] = []
        self._task: asyncio.Task[None] | None = None
        #: What was given, and what KIT_POLICY names, where they are files.
        self._given = self._environment = None
        check_source(source)
        if source is not None and not isinstance(source, (MethodPolicy, Mapping)):
            self._given = WatchedFile(source)
        self._code = overrides_from(source) if self._given is None else Overrides({})
        path = os.environ.get("KIT_POLICY")
        if path:
            self._environment = WatchedFile(path)
        self.files: Sequence[WatchedFile] = [file for file in (self._given, self._environment) if file is not None]
        self._overrides = self._with(None, {})
        for tables in (self._code.tables, *(file.tables for file in self.files)):
            check_names(tables)
        if self._given is None:
            check_early(self._overrides)
        for file in self.files:
            for method in named(file.tables):
                policy_for(method, self._overrides)

    def bind(self, path: str, build: Callable[[Resolved], _T], take: Callable[[_T], None]) -> None:
        """Gives `take` what `build` makes of the method's policy, now and whenever it has become another one.

        Raises PolicyError.
        """
        policy = policy_for(path, self._overrides)
        take(build(policy))
        if self.files:
            self._bound.append(_Bound(path, policy, build, take))

    def policy_for(self, path: str) -> Resolved:
        """What holds for a method now. Raises PolicyError."""
        return policy_for(path, self._overrides)

    def follow(self) -> None:
        """Sees to it that the files are looked at from now on, in the running loop."""
        loop = asyncio.get_running_loop()
        if self.files and (self._task is None or self._task.done() or self._task.get_loop() is not loop):
            self._task = loop.create_task(_following(weakref.ref(self), self._clock), context=Context())
            # Where a loop is closed with tasks in it, asyncio says so of each on stderr; this one is not the user's.
            self._task._log_destroy_pending = False  # type: ignore[attr-defined]

    def following(self, start: Callable[[Coroutine[Any, Any, None]], object]) -> Callable[[], None]:
        """What does the same by `start`, when it is called. It does not keep these policies alive."""
        here, clock = weakref.ref(self), self._clock

        def begin() -> None:
            start(_following(here, clock))

        return begin

    def look(self) -> None:
        """One look at each file."""
        for file in self.files:
            if file.changed():
                self._reload(file)

    def _with(self, file: WatchedFile | None, tables: Mapping[str, Leaves]) -> Overrides:
        """What holds if these tables stood in that file."""

        def of(each: WatchedFile) -> Mapping[str, Leaves]:
            return tables if each is file else each.tables

        given, environment = self._given, self._environment
        return Overrides(
            self._code.tables if given is None else of(given),
            None if environment is None else (str(environment.path), of(environment)),
        )

    def _reload(self, file: WatchedFile) -> None:
        try:
            tables = file.read()
            overrides = self._with(file, tables)
            check_names(tables)
            for method in named(tables):
                policy_for(method, overrides)
            policies = [policy_for(bound.path, overrides) for bound in self._bound]
            others = [
                (bound, policy, bound.build(policy))
                for bound, policy in zip(self._bound, policies, strict=True)
                if policy != bound.policy
            ]
            if self.test is not None:
                self.test(lambda method: policy_for(method, overrides))
        except ConfigurationError as error:
            self._let_go()
            self._tell(file.path, (), str(error))
            return
        file.tables, self._overrides = tables, overrides
        for bound, policy, built in others:
            bound.policy = policy
            bound.take(built)
        self._let_go()
        self._tell(file.path, tuple(sorted({bound.path for bound, _, _ in others})), "")

    def _let_go(self) -> None:
        if self.keep is not None:
            self.keep([bound.policy for bound in self._bound])


async def _following(here: weakref.ref[Policies], clock: Clock) -> None:
    while True:
        await clock.sleep(INTERVAL)
        policies = here()
        if policies is None:
            return
        policies.look()
        del policies
