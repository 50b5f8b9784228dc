"""How a line becomes a document of the engine.

body  the line's terms with their positions, not stored
ts    time in microseconds since 1970 UTC; absent where the line has none
loc   row of the line in the split
lvl   number of the line's level
"""

from __future__ import annotations

from pathlib import Path

import tantivy

__all__ = ["ANALYZER", "BODY", "LEVEL", "ROW", "TIME", "build_schema", "create_index", "open_index"]

BODY, TIME, ROW, LEVEL = "body", "ts", "loc", "lvl"
ANALYZER = "terms"


def build_schema() -> tantivy.Schema:
    """The schema of every split."""
    builder = tantivy.SchemaBuilder()
    builder.add_text_field(BODY, stored=False, tokenizer_name=ANALYZER, index_option="position")
    builder.add_integer_field(TIME, fast=True)
    builder.add_unsigned_field(ROW, fast=True)
    builder.add_unsigned_field(LEVEL, fast=True, indexed=True)
    return builder.build()


def create_index(folder: Path) -> tantivy.Index:
    """A new index in an empty folder."""
    index = tantivy.Index(build_schema(), str(folder), reuse=False)
    _register(index)
    return index


def open_index(folder: Path) -> tantivy.Index:
    """An index that will not change any more."""
    index = tantivy.Index.open(str(folder))
    _register(index)
    # "manual": no thread that watches the folder for changes.
    index.config_reader(reload_policy="manual")
    index.reload()
    return index


def _register(index: tantivy.Index) -> None:
    # Tokenizers are not part of what is stored. Text arrives normalised (see `terms`), so this one only has to split at
    # what is not alphanumeric and to lower the case of ASCII.
    analyzer = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).filter(tantivy.Filter.lowercase()).build()
    index.register_tokenizer(ANALYZER, analyzer)
