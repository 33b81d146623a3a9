"""The end of a process that hands big buffers on without looking at them, and copies none.

What it gets stays in the parent's block until it has been handed on. What it is to put was received into a block of its
own in the first place.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

from papympi.transport.arena import Arena
from papympi.transport.memfile import ArenaPart, Memory

_PART: Final = struct.Struct("<QQ")


class RelayAllocator(Memory):
    """One end of a connection between processes that share blocks.

    Args:
        descriptor: the memory file, which is kept open.
        part: of the memory, from which it takes its own blocks.

    Attributes:
        returned: offsets of the parent's blocks that have been handed on, which it has not been told yet.
    """

    def __init__(self, descriptor: int, part: ArenaPart) -> None:
        super().__init__(descriptor)
        self.use_part(part)
        self.returned: list[int] = []

    def take_room(self, size: int) -> memoryview | None:
        """Return a block into which so many bytes can be received, for `put`; `None`: there is no room."""
        offset = self.take(size)
        return None if offset < 0 else self.lend(offset, size, None)

    def put(self, buffer: memoryview) -> int:
        """Return the offset of the block that holds a buffer, filling one if none does; -1: there is no room."""
        offset = self.locate(buffer)
        return offset if offset >= 0 else super().put(buffer)

    def get(self, offset: int, size: int) -> memoryview:
        """Return a view of a block of the parent's, which is told when nothing refers to it any more."""
        return self.lend(offset, size, self.returned)


def offer(sock: socket.socket, arena: Arena | None) -> None:
    """Send the only child of an arena what it needs for a `RelayAllocator`; without an arena, that there is none."""
    if arena is None:
        sock.sendall(_PART.pack(0, 0))
    else:
        socket.send_fds(sock, [_PART.pack(*arena.part_of(0, [])[:2])], [arena.descriptor])


def accept(sock: socket.socket) -> RelayAllocator | None:
    """Return what the parent offers; `None`: there is nothing."""
    data, descriptors, _, _ = socket.recv_fds(sock, _PART.size, 1)
    if len(data) < _PART.size:
        raise EOFError("the peer closed the connection")
    start, stop = _PART.unpack(data)
    return RelayAllocator(descriptors[0], ArenaPart(start, stop, [])) if descriptors else None
