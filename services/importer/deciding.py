"""What is to be read of the files of a task, by what their workspace has of them; and what it has afterwards."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.importer import comparing
from services.importer.identity import (
    Decision,
    Kept,
    Known,
    Look,
    Text,
    beside,
    goes_on,
    is_archive,
    known_as,
    likely,
    look,
    moved,
    same_so_far,
)
from services.importer.marks import File
from services.importer.planning import Covered, PlannedFile, coverage, file_number, source_id
from services.importer.ports import Means, Refused, Unreachable
from services.importer.publishing import Publisher
from services.importer.records import FileRow, ImportRow, Mode, SplitRow

# A list of what search has is taken for true so long.
_ALIVE_SECONDS = 30.0
# Of the texts of an archive that has more of them no more than their identity is kept.
_DETAILED = 1000


class Decider:
    """Decides for one import. Decisions are recorded before anything is read, and stay when the task is tried again."""

    def __init__(self, row: ImportRow, means: Means, publisher: Publisher) -> None:
        self._row = row
        self._means = means
        self._publisher = publisher
        self._alive: frozenset[str] | None = None
        self._alive_until = float("-inf")

    async def decide(self, task: int, files: Sequence[PlannedFile], growing: Collection[int]) -> dict[int, Decision]:
        """By number of the file; what has to be deleted before is deleted when this returns."""
        plans, known = self._means.plans, self._means.known
        decisions = await plans.decisions(self._row.id, task)
        left = [file for file in files if file.number not in decisions]
        if left:
            made = await self.look(left, growing)
            # What is not read can be decided anew.
            lasting = {number: one for number, one in made.items() if one.kept is not Kept.UNCHANGED}
            await plans.decide(self._row.id, lasting)
            decisions |= made
        for decision in decisions.values():
            for source in decision.replaces:
                await self._publisher.ask(lambda source=source: self._delete(source))  # type: ignore[misc]
            if decision.replaces and decision.known and not decision.texts:
                await known.forget([decision.known])
        await self._tell_unchanged(decisions)
        return decisions

    async def look(self, files: Sequence[PlannedFile], growing: Collection[int]) -> dict[int, Decision]:
        """Decides without recording it."""
        looks = await asyncio.to_thread(_look, files)
        if self._row.mode is Mode.FULL:
            return {number: _new(look) for number, look in looks.items()}
        found = await self._means.known.find(
            self._row.workspace,
            paths=[look.path for look in looks.values()],
            heads=list({head for look in looks.values() for head in (look.head, *look.starts)}),
            inodes=[look.inode for look in looks.values()],
        )
        alive = await self._ask_alive(found) if found else None
        given_up = threading.Event()

        def check() -> None:
            if given_up.is_set():
                raise comparing.GivenUp

        def compare() -> dict[int, Decision]:
            one = _Comparison(self._row.id, found, alive, check)
            return {
                file.number: one.decide(file, looks[file.number], file.number in growing)
                for file in files
                if file.number in looks
            }

        try:
            return await asyncio.to_thread(compare)
        finally:
            given_up.set()

    async def remember(
        self,
        files: Sequence[PlannedFile],
        decisions: Mapping[int, Decision],
        splits: Iterable[SplitRow],
        bad: Collection[int],
        growing: Collection[int] = (),
    ) -> None:
        """Records what the workspace has of files from now on; `bad` are those in which something was left out.

        In those that are `growing` a last line without a line feed was held back.
        """
        rows = list(splits)
        settled = {number for number, one in decisions.items() if one.settled}
        files = [file for file in files if file.number not in settled and not self._is_upload(file)]
        facts = await self._means.known.texts_of(self._row.id, [file.number for file in files])
        names = {run.source_id: run.name for row in rows for run in row.split.sources}
        states = {row.cursor[0]: row.cursor[1] for row in rows if row.cursor is not None}
        covered = coverage(row.split for row in rows)
        file_of = {source: number for number, one in decisions.items() for source in one.ids.values()}
        by_file: dict[int, dict[str, Covered]] = {}
        for source, one in covered.items():
            number = file_of[source] if source in file_of else file_number(source)
            by_file.setdefault(number, {})[source] = one

        def fingerprint() -> list[Known]:
            known = []
            for file in files:
                decision = decisions.get(file.number, Decision())
                texts = {text.source_id: text for text in decision.texts}
                for source, one in by_file.get(file.number, {}).items():
                    said = dict(facts.get(source, {}))
                    state = said.pop("state", None)
                    whole = one.complete and said.get("bytes") == one.bytes
                    texts[source] = Text(
                        source, names[source], one.lines, one.bytes, one.complete,
                        str(said.get("sha256") or "") if whole else "",
                        state if one.complete else states.get(source), said,
                    )  # fmt: skip
                whole = file.number not in bad and all(text.complete for text in texts.values())
                if not texts:
                    continue
                if len(texts) > _DETAILED:
                    texts = {key: replace(text, state=None, facts={}) for key, text in texts.items()}
                found = _fingerprint(
                    file.path, decision, list(texts.values()), whole=whole, growing=file.number in growing
                )
                if found is not None:
                    known.append(found)
            return known

        await self._means.known.remember(self._row.workspace, await asyncio.to_thread(fingerprint))

    def _is_upload(self, file: PlannedFile) -> bool:
        return Path(file.path) == self._means.spool.resolve() / self._row.id

    async def _ask_alive(self, found: Sequence[Known]) -> frozenset[str] | None:
        """Sources that search has lines of; None where it cannot say.

        An older answer will do as long as it has everything that is known: what it lacks may have come since.
        """
        wanted = {text.source_id for known in found for text in known.texts if text.lines}
        if self._means.clock.now() >= self._alive_until or (self._alive is not None and not wanted <= self._alive):
            try:
                self._alive = await self._means.catalogue.sources(self._row.workspace)
            except Refused:
                self._alive = None
            except Unreachable:
                self._alive = await self._publisher.ask(lambda: self._means.catalogue.sources(self._row.workspace))
            self._alive_until = self._means.clock.now() + _ALIVE_SECONDS
        return self._alive

    async def _delete(self, source: str) -> None:
        await self._means.catalogue.delete_source(self._row.workspace, source)

    async def _tell_unchanged(self, decisions: Mapping[int, Decision]) -> None:
        if self._row.follow:
            return
        await self._means.known.add_texts(
            self._row.id,
            [
                FileRow(text.source_id, number, {**_facts(text), "state_of_file": int(Kept.UNCHANGED)})
                for number, decision in decisions.items()
                if decision.kept is Kept.UNCHANGED
                for text in decision.texts
            ],
        )


class _Comparison:
    """Files of one task against what is known. Each known file is taken once."""

    def __init__(self, import_id: str, known: Sequence[Known], alive: Collection[str] | None, check: Any) -> None:
        self._import_id = import_id
        self._by_path: dict[str, list[Known]] = {}
        self._by_mark: dict[str | int, list[Known]] = {}
        for one in sorted(known, key=lambda one: -one.id):
            self._by_path.setdefault(one.path, []).append(one)
            for mark in (one.head, one.inode):
                self._by_mark.setdefault(mark, []).append(one)
        self._alive = alive
        self._check = check
        self._taken: set[int] = set()

    def decide(self, file: PlannedFile, look: Look, growing: bool) -> Decision:
        own = source_id(self._import_id, file.number, 0)
        new = _new(look)
        try:
            with File(file.path) as opened:
                known, decision = self._find(file, opened, look, own, growing)
        except OSError:
            return new
        if known is None or decision is None:
            return replace(new, doubtful=look.packed or any(start in self._by_mark for start in look.starts))
        if decision.known is None:
            return replace(decision, device=look.device, inode=look.inode, size=look.size)
        self._taken.add(known.id)
        where = (known.path, known.device, known.inode)
        settled = decision.kept is Kept.UNCHANGED and where == (file.path, look.device, look.inode)
        return replace(decision, device=look.device, inode=look.inode, size=look.size, settled=settled)

    def _find(
        self, file: PlannedFile, opened: File, look: Look, own: str, growing: bool
    ) -> tuple[Known | None, Decision | None]:
        here = self._left(self._by_path.get(file.path, ()))
        for one in here:
            if same_so_far(opened, one) and not (is_archive(one) and opened.size != one.offset):
                return one, goes_on(opened, one, own, self._alive, growing)
        same_start = [] if look.zipped else self._started(look)
        for one in self._left([*self._by_mark.get(look.inode, ()), *self._by_mark.get(look.head, ()), *same_start]):
            grown = is_archive(one) and opened.size != one.offset
            if one not in here and not grown and one.packed == look.packed and moved(opened, one):
                return one, goes_on(opened, one, own, self._alive, growing)
        for one in self._started(look) if look.zipped else ():
            copy = beside(file.path, one)
            if one.id in self._taken and not copy:
                continue
            decision = comparing.rotated(file.path, file.name, one, own, self._check)
            if decision is not None and copy:
                # What is unread is read there.
                return one, Decision(Kept.UNCHANGED, texts=() if decision.replaces else one.texts)
            if decision is not None and likely(file.path, one, grown=decision.kept is not Kept.UNCHANGED):
                return one, decision
        for one in here:
            if is_archive(one) and look.packed:
                return one, comparing.archive(file.path, file.name, one, own, self._alive, self._check)
        return None, None

    def _started(self, look: Look) -> list[Known]:
        """Plain files that are known by the beginning of this one, longest first."""
        found = [one for start in look.starts for one in self._by_mark.get(start, ())]
        return [one for one in found if not one.packed and self._searchable(one)]

    def _left(self, known: Iterable[Known]) -> list[Known]:
        return [one for one in known if one.id not in self._taken]

    def _searchable(self, known: Known) -> bool:
        return self._alive is None or any(text.source_id in self._alive for text in known.texts)


def _new(look: Look) -> Decision:
    return Decision(device=look.device, inode=look.inode, size=look.size)


def _look(files: Sequence[PlannedFile]) -> dict[int, Look]:
    looks = {}
    for file in files:
        try:
            with File(file.path) as opened:
                looks[file.number] = look(opened)
        except OSError:
            continue  # the worker says what is the matter
    return looks


def _fingerprint(path: str, decision: Decision, texts: Sequence[Text], *, whole: bool, growing: bool) -> Known | None:
    """The file that was read, wherever it is now: it may have been rotated in the meantime."""
    for place in _places(path, decision):
        try:
            with File(place) as file:
                if not decision.inode or (file.device, file.inode) == (decision.device, decision.inode):
                    return known_as(file, texts, decision, whole=whole, growing=growing)
        except OSError:
            continue
    return None


def _places(path: str, decision: Decision) -> Iterable[str]:
    yield path
    if decision.inode:
        try:
            with os.scandir(os.path.dirname(path)) as entries:
                yield from [entry.path for entry in entries if entry.inode() == decision.inode]
        except OSError:
            return


def _facts(text: Text) -> dict[str, Any]:
    return {"name": text.name, "lines": text.lines, "bytes": text.bytes, "sha256": text.sha256, **text.facts}
