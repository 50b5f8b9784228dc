"""The process that unpacks 7z, rar, lz4 and Z by the system's libarchive: `python unpacker.py KIND FD BYTES PARENT`.

libarchive is C code that reads what strangers made. In a process of its own a crash of it costs one archive, a hang is
ended from outside, and what memory it takes is bounded by the system. It reads descriptor FD by our own callbacks, from
any place of it where that is a file and else as a pipe, opens no path, and knows only the one format that it was
started for. BYTES is the bound on its address space, PARENT the process with which it ends.

It writes frames to standard output: a letter, the length of what follows (4 bytes, big-endian), and that:
- "E": JSON of a member: name, modified (or null), kind ("file", "other", "encrypted", "copy");
- "D": 8 bytes, how much of the input was read so far, and content of the member;
- "P": JSON of a problem with the member: message, memory (whether it was refused memory);
- "F": the same, of the archive; "Z": its end. Nothing comes after these.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import stat
import struct
import sys
from typing import Any

_BUFFER = 256 << 10
_OK, _EOF, _WARN, _FAILED, _FATAL = 0, 1, -20, -25, -30
_ENOMEM = 12
_FILE_TYPE = 0o100000
_DEATH_SIGNAL = 1
_LONGEST_HEADER = 2 << 20
_RAR5_FILE, _RAR5_ENCRYPTION, _RAR5_REDIRECTION, _RAR5_COPY = 2, 1, 5, 5


class Rar5Headers:
    """Follows the headers of a rar 5 archive while it is read: libarchive does not tell that a member is encrypted."""

    def __init__(self) -> None:
        self._next = 8  # behind the signature
        self._held = b""
        self._held_at = 0
        #: By member, in their order: "encrypted", "copy" (of another member, without content), or "".
        self.kinds: list[str] = []

    def watch(self, at: int, data: bytes) -> None:
        """Takes what was read at an offset; where it was read before, or not in order, it is not looked at."""
        if at != self._held_at + len(self._held):
            return
        held, start = self._held + data, self._held_at
        if not start and not held.startswith(b"Rar!\x1a\x07\x01\0"):
            held = b""  # not rar 5
        while len(held) > self._next - start >= 0:
            size = self._header(held[self._next - start :])
            if not size:
                break
            self._next += size
        keep = max(min(self._next - start, len(held)), len(held) - _LONGEST_HEADER, 0)
        self._held, self._held_at = held[keep:], start + keep

    def _header(self, block: bytes) -> int:
        """Reads the header at the start of the block; bytes up to the next one, 0 when it is not all there."""
        try:
            size, at = _vint(block, 4)
            end = at + size
            if not 0 < size <= _LONGEST_HEADER or end > len(block):
                return 0
            kind, at = _vint(block, at)
            flags, at = _vint(block, at)
            extra, at = _vint(block, at) if flags & 1 else (0, at)
            content, at = _vint(block, at) if flags & 2 else (0, at)
            if kind == _RAR5_FILE:
                self.kinds.append(self._kind(block[:end], end - extra))
        except IndexError:
            return 0
        return end + content

    def _kind(self, header: bytes, at: int) -> str:
        kind = ""
        while at < len(header):
            size, at = _vint(header, at)
            record, place = _vint(header, at)
            if record == _RAR5_ENCRYPTION:
                return "encrypted"
            if record == _RAR5_REDIRECTION and _vint(header, place)[0] == _RAR5_COPY:
                kind = "copy"
            at += size
        return kind


def _vint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    return value, at


class Input:
    """The callbacks by which libarchive reads a descriptor."""

    def __init__(self, fd: int) -> None:
        status = os.fstat(fd)
        self._fd = fd
        self.seekable = stat.S_ISREG(status.st_mode)
        self._size = status.st_size
        self._at = 0
        self._held = ctypes.create_string_buffer(_BUFFER)
        self.headers = Rar5Headers()
        self.starved = False
        #: Bytes read, counted once each.
        self.taken = 0

    def read(self, _archive: int, _data: int, place: Any) -> int:
        """Gives the next bytes."""
        try:
            data = os.pread(self._fd, _BUFFER, self._at) if self.seekable else os.read(self._fd, _BUFFER)
        except (OSError, MemoryError) as error:
            self.starved = isinstance(error, MemoryError)
            return -1
        ctypes.memmove(self._held, data, len(data))
        self.headers.watch(self._at, data)
        place[0] = ctypes.cast(self._held, ctypes.c_void_p)
        self._at += len(data)
        self.taken = max(self.taken, self._at)
        return len(data)

    def more_than(self, count: int) -> bool:
        """Whether the input has more bytes than these."""
        end = self._size if self.seekable else self.taken + len(os.read(self._fd, 1))
        return end > count

    def seek(self, _archive: int, _data: int, offset: int, whence: int) -> int:
        """Goes elsewhere; the place, or ARCHIVE_FATAL."""
        place = offset + (0, self._at, self._size)[whence]
        if not 0 <= place < 1 << 62:
            return _FATAL
        self._at = place
        return place


def emit(letter: bytes, payload: bytes) -> None:
    """Writes a frame."""
    data = memoryview(letter + struct.pack(">I", len(payload)) + payload)
    while data:
        data = data[os.write(1, data) :]


def emit_json(letter: bytes, **values: Any) -> None:
    """Writes a frame of JSON."""
    emit(letter, json.dumps(values).encode())


class Archive:
    """libarchive, reading one archive."""

    def __init__(self, ffi: Any, kind: str, source: Input) -> None:
        self._ffi = ffi
        # The same library once more: libarchive-c's own functions raise, and what is wrong is an answer here.
        self._library = ctypes.CDLL(ffi.libarchive_path)
        self._source = source
        self._archive = ffi.read_new()
        self._buffer = ctypes.create_string_buffer(_BUFFER)
        self._number = 0
        self.raw = kind in ("lz4", "compress")
        formats = ["raw", "empty"] if self.raw else {"7z": ["7zip"], "rar": ["rar", "rar5"]}[kind]
        for name in formats:
            # Returns a warning where a program would be started for it; then it is not there.
            if self._call(f"read_support_format_{name}") != _OK:
                raise AttributeError(name)
        if self.raw and self._call(f"read_support_filter_{kind}") != _OK:
            raise AttributeError(kind)
        self._read = ffi.READ_CALLBACK(source.read)
        self._seek = ffi.SEEK_CALLBACK(source.seek)
        if source.seekable:
            self._library.archive_read_set_seek_callback(ctypes.c_void_p(self._archive), self._seek)
        self._library.archive_entry_is_data_encrypted.argtypes = [ctypes.c_void_p]
        self._library.archive_read_data.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        self._library.archive_filter_bytes.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self._library.archive_filter_bytes.restype = ctypes.c_longlong
        self._library.archive_read_data.restype = ctypes.c_ssize_t

    def run(self) -> None:
        """Gives everything."""
        opened = self._library.archive_read_open(
            ctypes.c_void_p(self._archive), None, self._ffi.NO_OPEN_CB, self._read, self._ffi.NO_CLOSE_CB
        )
        if opened not in (_OK, _WARN):
            self._problem(b"F")
            return
        entry = ctypes.c_void_p()
        while True:
            result = self._library.archive_read_next_header(ctypes.c_void_p(self._archive), ctypes.byref(entry))
            if result == _EOF:
                emit(b"Z", b"")
                return
            if result not in (_OK, _WARN):
                self._problem(b"F")
                return
            if not self._entry(entry):
                return

    def _entry(self, entry: ctypes.c_void_p) -> bool:
        """Gives a member; False when nothing can follow it."""
        ffi = self._ffi
        name = ffi.entry_pathname(entry)
        if name is None:
            wide = ffi.entry_pathname_w(entry)
            name = wide.encode("utf-8", "replace") if wide else b""
        linked = ffi.entry_symlink(entry) is not None or ffi.entry_hardlink(entry) is not None
        kind = "file" if self.raw or (ffi.entry_filetype(entry) == _FILE_TYPE and not linked) else "other"
        if kind == "file" and self._library.archive_entry_is_data_encrypted(entry):
            kind = "encrypted"
        known = self._source.headers.kinds
        if kind == "file" and self._number < len(known):
            kind = known[self._number] or kind
        self._number += 1
        modified = ffi.entry_mtime(entry) if ffi.entry_mtime_is_set(entry) else None
        emit_json(b"E", name=name.decode("utf-8", "replace"), modified=modified, kind=kind)
        size = ffi.entry_size(entry) if ffi.entry_size_is_set(entry) and not self.raw else None
        return kind != "file" or self._content(size)

    def _content(self, size: int | None) -> bool:
        given = 0
        while True:
            got = self._library.archive_read_data(self._archive, self._buffer, _BUFFER)
            if got > 0:
                given += got
                emit(b"D", struct.pack(">Q", self._source.taken) + ctypes.string_at(self._buffer, got))
            elif got == 0:
                if self.raw and self._source.more_than(self._library.archive_filter_bytes(self._archive, -1)):
                    emit_json(b"P", message="something follows the compressed data, and was not read", memory=False)
                elif size is not None and given != size:
                    text = f"{given} bytes were unpacked where the archive promises {size}"
                    emit_json(b"P", message=text, memory=False)
                return True
            elif got in (_WARN, _FAILED):
                self._problem(b"P")
                return True
            else:
                self._problem(b"F")
                return False

    def _problem(self, letter: bytes) -> None:
        pointer = ctypes.c_void_p(self._archive)
        text = self._ffi.error_string(pointer) or b""
        memory = self._source.starved or self._ffi.errno(pointer) == _ENOMEM or b"memory" in text
        emit_json(letter, message=text.decode("utf-8", "replace"), memory=memory)

    def _call(self, name: str) -> int:
        function = getattr(self._library, f"archive_{name}")
        function.argtypes = [ctypes.c_void_p]
        return int(function(self._archive))


def _find_library() -> None:
    """Names the library as Linux does, since a search by ctypes starts programs."""
    if sys.platform == "linux" and "LIBARCHIVE" not in os.environ:
        with contextlib.suppress(OSError):
            ctypes.CDLL("libarchive.so.13")
            os.environ["LIBARCHIVE"] = "libarchive.so.13"


def main() -> None:
    """Runs the process."""
    kind, fd, memory, parent = sys.argv[1], *map(int, sys.argv[2:5])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        return
    try:
        _find_library()
        import libarchive.ffi as ffi

        archive = Archive(ffi, kind, Input(fd))
    except (ImportError, OSError, AttributeError, TypeError):
        emit_json(b"F", message="", missing=True, memory=False)
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (fd + 1, fd + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    try:
        archive.run()
    except MemoryError:
        emit_json(b"F", message="", memory=True)
    except BrokenPipeError:
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
