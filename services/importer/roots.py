"""Which paths may be imported."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Roots:
    """Folders below which everything may be imported; links are resolved before they are compared."""

    folders: tuple[str, ...] = ()
    #: Whatever the importer's user can read.
    everything: bool = False

    @classmethod
    def parse(cls, text: str) -> Roots:
        """Paths separated as in PATH; "*" stands for everything, "" for nothing."""
        if text.strip() == "*":
            return cls(everything=True)
        paths = [os.path.expanduser(path.strip()) for path in text.split(os.pathsep) if path.strip()]
        return cls(tuple(os.path.realpath(path) for path in paths))

    def allow(self, real: str) -> bool:
        """Whether a real path (no links in it) lies below a root, or is one."""
        return self.everything or any(
            real == folder or real.startswith(folder.rstrip(os.sep) + os.sep) for folder in self.folders
        )

    def describe(self) -> str:
        """What is allowed, as a sentence for the person whose path is not."""
        if not self.folders:
            return (
                "No folder is allowed to be imported from: list them in KIT_IMPORT_ROOTS for the importer, "
                "or upload the file."
            )
        return f"Allowed are: {', '.join(self.folders)}."
