"""Mutated archives of every kind, read to their ends: `python -m tests.fuzz.archives --minutes N [--seed S]`.

Each execution takes a valid archive, flips bits, cuts, splices it with another, repeats or removes parts, or nests it,
and reads what comes of it through `open_members`. It stops, and keeps the input, at an exception, a read of more than
five seconds of its own time, or memory over 300 MB. Prints executions by kind.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from services.importer.reading import Limits, LineBlocks, Meter, Problem, ReadProblem, open_members
from services.importer.worker import give_back_memory
from tests.unit.importer.archives import KINDS, RAR, tarred, zip_of, zipped, zipped_to_pipe
from tests.unit.importer.archives import ZipPart as Part

_SECONDS = 5.0
_MEMORY = 300 << 20
#: Small, so that limits are met, too.
_LIMITS = Limits(
    unpacked_bytes=64 << 20,
    ratio_free_bytes=16 << 20,
    entries=200,
    depth=5,
    line_bytes=1 << 16,
    nested_bytes=1 << 20,
    window_bytes=32 << 20,
    stall_seconds=3.0,
)
# These start a process each; fewer of them.
_SLOW = ("7z", "rar", "lz4", "Z")


def texts() -> list[bytes]:
    """What is packed: a log, noise, zeros, nothing, something without lines, UTF-16."""
    log = b"".join(b"2024-05-01 10:00:00 line %d with some words\n" % number for number in range(300))
    noise = random.Random(7).randbytes(4000)
    return [log, noise.hex().encode() + b"\n", bytes(20_000), b"", b"x" * 100_000, log.decode().encode("utf-16")]


def corpus() -> dict[str, list[bytes]]:
    """Valid archives by kind."""
    found = {kind: [pack(text) for text in texts() if text or kind != "Z"] for kind, pack in KINDS.items()}
    log, other, *_ = texts()
    several = [("a.log", log), ("dir/", b""), ("dir/b.log", other), ("empty.log", b"")]
    found["zip"] += [zipped(*several), zipped_to_pipe(*several), zipped_to_pipe(*several, zip64=True)]
    found["zip"].append(zip_of(Part(name=b"a.log", content=log, zip64=True), Part(name=b"b", content=other, method=0)))
    found["tar"] += [tarred(*several, form=form) for form in (0, 1, 2)]
    found["rar"] = [path.read_bytes() for path in sorted(RAR.glob("*.rar"))]
    return found


def mutated(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """A copy with some damage."""
    broken = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 4, 16])):
        if not broken:
            break
        # Headers stand at the start and at the end.
        at = chance.choice([chance.randrange(len(broken)), chance.randrange(min(len(broken), 64))])
        if chance.random() < 0.2:
            at = len(broken) - 1 - chance.randrange(min(len(broken), 64))
        size = chance.choice([1, 2, 4, 8, 64, 512, 4096])
        match chance.randrange(9):
            case 0 | 1 | 2:
                broken[at] ^= 1 << chance.randrange(8)
            case 3:
                del broken[at:]
            case 4:
                del broken[at : at + size]
            case 5:
                broken[at:at] = broken[at : at + size] * chance.choice([1, 2, 50])
            case 6:
                broken[at : at + size] = chance.choice([b"\0", b"\xff", b"\x7f", b"\x80"]) * size
            case 7:
                other = chance.choice(others)
                start = chance.randrange(len(other) + 1)
                broken[at : at + size] = other[start : start + size]
            case _:
                broken[at : at + size] = chance.randbytes(size)
    return bytes(broken)


def read(path: Path) -> tuple[int, int]:
    """Reads everything; lines and problems."""
    lines = problems = 0
    for found in open_members(str(path), path.name, Meter(_LIMITS)):
        if isinstance(found, Problem):
            assert found.message
            problems += 1
            continue
        assert not set(found.name) & set("\0\n\t\x1b\u202e\u2028")
        blocks = LineBlocks(found.stream, _LIMITS.line_bytes)
        try:
            for block in blocks:
                assert blocks.consumed == sum(map(len, block)) + len(block) + blocks.excess - blocks.unterminated
                lines += len(block)
        except ReadProblem as problem:
            problem.reported = True
            problems += 1
    return lines, problems


def memory() -> int:
    """The most that this process has taken, and that any of those that it started has, in bytes."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) << 10


def run(seconds: float, seed: int, out: Callable[[str], None] = print) -> bool:
    """Fuzzes for so long; whether nothing was found."""
    chance = random.Random(seed)
    valid = corpus()
    others = [one for ones in valid.values() for one in ones if one]
    nest = [KINDS[kind] for kind in ("gz", "zip", "tar", "tgz", "zst", "bz2") * 5 + ("7z", "lz4")]
    counts: Counter[str] = Counter()
    told: Counter[str] = Counter()
    ends = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < ends:
            kind = chance.choice(list(valid))
            if any(slow in kind for slow in _SLOW) and chance.random() < 0.95:
                continue
            data = mutated(chance.choice(valid[kind]), others, chance)
            if chance.random() < 0.1 and data:
                data = chance.choice(nest)(data)
                if chance.random() < 0.5:
                    data = mutated(data, others, chance)
            path = Path(folder) / f"x.{kind}" if chance.random() < 0.5 else Path(folder) / "x"
            path.write_bytes(data)
            # Time of this process: the machine may have others to run.
            started = time.process_time()
            failure = ""
            try:
                _, problems = read(path)
                told[kind] += problems > 0
            except Exception:  # noqa: BLE001 - any is what is looked for
                failure = traceback.format_exc()
            if time.process_time() - started > _SECONDS:
                failure = failure or f"It took {time.process_time() - started:.1f} s."
            if memory() > _MEMORY:
                failure = failure or f"It took {memory() >> 20} MB."
            counts[kind] += 1
            if failure:
                kept = Path(tempfile.gettempdir()) / f"fuzz-{kind}-{seed}-{counts[kind]}"
                kept.write_bytes(data)
                out(f"{kind}, seed {seed}: {failure}\nThe input is {kept}")
                return False
    for kind in sorted(counts):
        out(f"{kind:12} {counts[kind]:8} executions, {told[kind]:8} with a problem told")
    out(f"{'all':12} {counts.total():8} executions, seed {seed}, {memory() >> 20} MB at most")
    return True


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description="Reads mutated archives.")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    # As in a worker: otherwise the C library keeps a little more after each of a hundred thousand decompressors.
    give_back_memory()
    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    sys.exit(0 if run(options.minutes * 60, seed) else 1)


if __name__ == "__main__":
    main()
