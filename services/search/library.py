"""The splits on disk, opened when they are needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from pathlib import Path

from kit.errors import DataLoss
from kit.observe import get_logger
from loganalyzer.search.v1 import search_pb2
from services.search.catalog import Published
from services.search.guarded import DAMAGED, GuardedSplit, is_damage
from services.search.index import SUPPORTED, SplitWriter, read_meta, split_path
from services.search.index.engine import TantivySplit
from services.search.index.layout import remove_tree
from services.search.index.split import FrameCache, SplitReader
from services.search.lru import LruCache

__all__ = ["DAMAGED", "Library", "named"]

_log = get_logger("search")

#: Sources that an error names at most, and characters of a name: an error travels in headers, which are 8 KB at most.
NAMED, NAME = 3, 60

Opener = Callable[[Path, FrameCache], SplitReader]


def named(split: search_pb2.Split, most: int, longest: int) -> str:
    """The sources that a split holds lines of, a few of them by name: "a.log, b.log and 3 more"."""
    names = list(dict.fromkeys(run.name for run in split.sources if run.line_count))
    names[:most] = [name if len(name) <= longest else f"...{name[-longest:]}" for name in names[:most]]
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


class Library:
    """Keeps readers of the splits used last. Everything here may block: it belongs into the threads that search."""

    def __init__(self, root: Path, *, open_splits: int, frames: int, opener: Opener = TantivySplit) -> None:
        self._root = root
        self._readers: LruCache[tuple[str, str], SplitReader] = LruCache(open_splits)
        self._frames: FrameCache = LruCache(frames)
        self._opener = opener
        self._lock = threading.Lock()
        #: Damaged splits that the log knows of.
        self._told: set[tuple[str, str]] = set()

    def writer(self, workspace: str, split_id: str) -> SplitWriter:
        """Begins a split."""
        return SplitWriter(self._root, workspace, split_id)

    def reader(self, published: Published) -> SplitReader:
        """The reader of a published split. DataLoss where it cannot be opened, and from it where it is damaged."""
        return self._open(published.workspace, published.split)

    def check(self, workspace: str, split: search_pb2.Split) -> str:
        """Why a split cannot be published as described; "" when it can."""
        if split.schema_version not in SUPPORTED:
            known = " and ".join(map(str, SUPPORTED))
            return f"has format {split.schema_version}, this program reads {known}"
        try:
            path = split_path(self._root, workspace, split.id)
            if not path.is_dir():
                return "has no folder"
            if read_meta(path) != split:
                return "is not what lies in its folder"
            self._open(workspace, split)
        except DataLoss as error:
            return f"cannot be opened: {error.__cause__}"
        except DAMAGED as error:
            return f"cannot be read: {error}"
        return ""

    def forget(self, workspace: str, split_ids: Collection[str]) -> None:
        """Lets go of splits that are not searched any more."""
        self._readers.drop(lambda key: key[0] == workspace and key[1] in split_ids)
        self._told -= {(workspace, split_id) for split_id in split_ids}

    def remove(self, workspace: str) -> None:
        """Removes the folders of all splits of a workspace. Searches under way keep what they have open."""
        folder = split_path(self._root, workspace, "any").parent
        self._readers.drop(lambda key: key[0] == workspace)
        self._frames.drop(lambda key: key[0].parent == folder)
        remove_tree(folder)

    def _open(self, workspace: str, split: search_pb2.Split) -> SplitReader:
        key = (workspace, split.id)
        reader = self._readers.get(key)
        if reader is None:
            with self._lock:
                reader = self._readers.get(key)
                if reader is None:
                    try:
                        opened = self._opener(split_path(self._root, workspace, split.id), self._frames)
                    except BaseException as error:
                        if not is_damage(error):
                            raise
                        raise self._damage(workspace, split, error) from error
                    reader = GuardedSplit(opened, lambda error: self._damage(workspace, split, error))
                    self._readers.put(key, reader)
        return reader

    def _damage(self, workspace: str, split: search_pb2.Split, error: BaseException) -> DataLoss:
        """The error for a split that cannot be read. It is opened again by the next search: it may be repaired."""
        key = (workspace, split.id)
        self._readers.drop(lambda each: each == key)
        if key not in self._told:
            self._told.add(key)
            _log.error("split damaged", workspace=key[0], split=key[1], error=repr(error))
        sources = named(split, NAMED, NAME)
        return DataLoss(
            f"split {split.id}, which holds lines of {sources}, cannot be read; run: loganalyzer doctor",
            reason="SPLIT_DAMAGED",
            domain="loganalyzer",
            metadata={"split": split.id, "sources": sources},
        )
