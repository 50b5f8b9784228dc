"""Messages, as the gateway sends them, as text. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from services.cli.quantities import span

Json = dict[str, Any]

_MAGENTA, _GREEN, _CYAN, _RED, _OFF = "\x1b[35m", "\x1b[32m", "\x1b[36m", "\x1b[1;31m", "\x1b[0m"
# What could move the cursor, change colours or worse when a log line holds it: C0 without tab, DEL, C1.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def hit(message: Json, *, colour: bool) -> str:
    """One hit as grep prints it: source:line:text. With colours, control characters are shown as U+FFFD."""
    source, number, text = str(message["source"]), str(message["lineNumber"]), str(message["text"])
    if not colour:
        return f"{source}:{number}:{text}{cut(message)}"
    separator = f"{_CYAN}:{_OFF}"
    return (
        f"{_MAGENTA}{printable(source)}{_OFF}{separator}{_GREEN}{number}{_OFF}{separator}"
        f"{_marked(text.removesuffix(chr(13)), message.get('highlights') or [])}"
        f"{cut(message)}"
    )


def cut(message: Json) -> str:
    """What stands behind a text that is only the beginning of its line; "" behind others."""
    return f" ... (cut: the first {len(str(message['text']).encode()):,} bytes)" if message.get("textTruncated") else ""


def printable(text: str) -> str:
    """The text with every control character but tab replaced."""
    return _CONTROL.sub("\ufffd", text)


def _marked(text: str, highlights: list[Json]) -> str:
    parts: list[str] = []
    at = 0
    for mark in sorted(highlights, key=lambda mark: (int(mark["start"]), int(mark["end"]))):
        start, end = max(at, int(mark["start"])), min(len(text), int(mark["end"]))
        if start < end:
            parts += [printable(text[at:start]), _RED, printable(text[start:end]), _OFF]
            at = end
    return "".join([*parts, printable(text[at:])])


def progress(message: Json) -> str:
    """How far an import is, in one line."""
    done = message.get("progress") or {}
    files, total_files = int(done.get("processedFiles", 0)), int(done.get("totalFiles", 0))
    read, total = int(done.get("processedBytes", 0)), int(done.get("totalBytes", 0))
    parts = [str(message.get("state", "")).lower()]
    if total:
        parts.append(f"{100 * min(read, total) // total} %")
        parts.append(f"{size(read)} of {size(total)}")
    if total_files:
        parts.append(f"{files} of {count(total_files, 'file')}")
    parts.append(count(int(message.get("lineCount", 0)), "line"))
    if rate := float(done.get("bytesPerSecond", 0)):
        parts.append(f"{size(int(rate))}/s")
    if eta := done.get("eta"):
        parts.append(f"{span(seconds(eta))} left")
    if why := message.get("errorMessage"):
        parts.append(printable(str(why)))
    return "  ".join(parts)


def result(message: Json) -> str:
    """What came of an import, in one line."""
    name, state = message.get("name", ""), str(message.get("state", "")).lower()
    errors = int(message.get("errorCount", 0))
    text = (
        f"{name}: {state}, {count(int(message.get('lineCount', 0)), 'line')}, "
        f"{size(int(message.get('byteCount', 0)))} from {count(int(message.get('fileCount', 0)), 'file')}"
    )
    looked = int((message.get("progress") or {}).get("totalFiles", 0))
    if message.get("state") == "SUCCEEDED" and not int(message.get("fileCount", 0)) and not errors:
        text = f"{name}: {state}, nothing new" + (f" in {count(looked, 'file')}" if looked else "")
    if errors:
        text += f", {count(errors, 'error')}"
    if why := message.get("errorMessage"):
        text += f": {why}"
    return text


def source_errors(message: Json) -> list[str]:
    """One line for each error that the import's sources list, and one that says how many more there were."""
    found = [
        f"{error.get('path', '')}: {error.get('message') or str(error.get('reason', '')).lower()}"
        + (f" (read up to line {error['lineNumber']})" if int(error.get("lineNumber", 0)) else "")
        for source in message.get("sources") or []
        for error in source.get("errors") or []
    ]
    more = int(message.get("errorCount", 0)) - len(found)
    return [*found, f"... and {more} more"] if more > 0 else found


def context_line(message: Json, *, colour: bool) -> str:
    """A line beside a hit, as grep prints it: source-line-text."""
    source, number, text = str(message["source"]), str(message["lineNumber"]), str(message["text"])
    if not colour:
        return f"{source}-{number}-{text}{cut(message)}"
    separator = f"{_CYAN}-{_OFF}"
    place = f"{_MAGENTA}{printable(source)}{_OFF}{separator}{_GREEN}{number}{_OFF}"
    return f"{place}{separator}{printable(text)}{cut(message)}"


def share(part: int, whole: int) -> str:
    """ "12.5 %" """
    return f"{100 * part / whole:.1f} %" if whole else ""


def moment(text: object) -> str:
    """ "2024-01-31T12:00:00.5Z" as "2024-01-31 12:00:00"; "" stays so."""
    return str(text or "")[:19].replace("T", " ")


def seconds(text: object) -> float:
    """A duration as protobuf's JSON has it: "1.5s"."""
    return float(str(text or "0").removesuffix("s"))


def size(number: int) -> str:
    """Bytes in the unit that suits them: 999 B, 1.0 KB, 2.5 GB (powers of 1000)."""
    value = float(number)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 999.95 or (unit == "B" and number < 1000):
            return f"{number} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def count(number: int, noun: str) -> str:
    """ "1 line", "2,000 lines" """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def table(rows: Sequence[tuple[str, ...]], *, right: int = 0) -> list[str]:
    """Rows as lines with aligned columns, the first `right` of them to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    return [
        "  ".join(
            cell.rjust(width) if column < right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
