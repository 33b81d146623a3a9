"""A packed program on its way: a pickle, with the big constants of its functions beside it.

The children of one host take it from one memory file without a name. Each maps the file for itself alone: pages are
shared until they are written to, and what is written is seen by nobody else. A file begins with a mark that no other
one has.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pickle import PickleBuffer
from typing import Any, Final, NamedTuple

from papympi.transport.arena import LEAST
from papympi.transport.payload import Buffer
from papympi.transport.regions import round_up

_MARK: Final = 16


@dataclass(frozen=True, slots=True)
class Packed:
    """A program as `pack_program` makes it and `unpack_program` takes it.

    Attributes:
        body: the pickle.
        buffers: what is not in the pickle. It is not copied: it is still what the functions of the sender refer to,
            and becomes what those of the receiver refer to.
        file: descriptor of a memory file that holds all of it, instead.
    """

    body: Buffer
    buffers: Sequence[Buffer] = ()
    file: int | None = None

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum(map(len, self._parts()))

    def store(self) -> Packed:
        """Return the same where nothing changes it: in a memory file, or a copy if it is small or there is no file."""
        if self.file is not None:
            return self
        if self.size >= LEAST and hasattr(os, "memfd_create"):
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                file = os.memfd_create("papympi-program", os.MFD_CLOEXEC)
                stack.callback(os.close, file)
                self._write(file)
                stack.pop_all()
                return Packed(b"", (), file)
        return Packed(bytes(self.body), [bytearray(buffer) for buffer in self.buffers])

    def find_file(self) -> PackedFile | None:
        """Return how other processes of this host find the file; `None`: there is none."""
        if self.file is None:
            return None
        return PackedFile(f"/proc/{os.getpid()}/fd/{self.file}", os.pread(self.file, _MARK, 0))

    def close(self) -> None:
        """Let go of the file; children that have mapped it keep it."""
        if self.file is not None:
            os.close(self.file)

    def _write(self, descriptor: int) -> None:
        """Fill a file: the mark, how many parts there are, the size of each, the parts, each on pages of its own."""
        parts = self._parts()
        with open(descriptor, "wb", closefd=False) as file:
            file.write(os.urandom(_MARK))
            file.write(struct.pack(f"<{len(parts) + 1}Q", len(parts), *map(len, parts)))
            for part in parts:
                file.seek(round_up(file.tell()))
                file.write(part)

    def _parts(self) -> list[Buffer]:
        return [self.body, *self.buffers]

    def __reduce__(self) -> tuple[Any, ...]:
        return Packed, (PickleBuffer(self.body), [PickleBuffer(buffer) for buffer in self.buffers])


class PackedFile(NamedTuple):
    """A packed program in a memory file that another process of this host has open.

    Attributes:
        path: where it has it.
        mark: how the file begins. The path may lead to another one: in a container processes have other numbers.
    """

    path: str
    mark: bytes

    def open(self) -> Packed | None:
        """Return the program; `None`: it is not to be found."""
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            stack.callback(os.close, file)
            if stat.S_ISREG(os.fstat(file).st_mode) and os.pread(file, _MARK, 0) == self.mark:
                stack.pop_all()
                return Packed(b"", (), file)
        return None


def map_packed(descriptor: int) -> Packed:
    """Return what `Packed.store` has put into a file, which is closed; its pages are shared until they are written to.

    Raises:
        OSError: this process may not map so much.
    """
    try:
        view = memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY))
    finally:
        os.close(descriptor)
    (count,) = struct.unpack_from("<Q", view, _MARK)
    parts, place = [], _MARK + 8 + 8 * count
    for size in struct.unpack_from(f"<{count}Q", view, _MARK + 8):
        place = round_up(place)
        parts.append(view[place : place + size])
        place += size
    return Packed(parts[0], parts[1:])
