"""Messages between ranks: one pickle each, big buffers beside it, sent and received without ever blocking.

A message is a list of parts: the pickle first, then its buffers. Small parts travel together in the head; each big one
follows as it is, in pieces that every MPI can carry. A head that is a lone pickle begins with a pickle's first byte.
Heads and pieces are numbered by their tags, and a probe takes the message that it has found, so that no value depends
on the order in which MPI delivers.
"""

from __future__ import annotations

import os
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from papympi.transport.heap import KEPT, keep_heap, map_pages
from papympi.transport.payload import Buffer

if TYPE_CHECKING:
    from mpi4py.MPI import Comm, Request

_TAGS: Final = 1 << 14
"""Tags are numbers that begin anew after so many; every MPI has twice as many."""

_PICKLE: Final = 0x80
_ALONE: Final = 64 * 1024
"""Parts of at least this many bytes travel alone."""
_EAGER: Final = 4 * 1024
"""Messages up to this size are here as soon as a probe sees them, with every MPI."""
_PIECE: Final = 1 << 30
_ALIGN: Final = 16


class _IncomingMessage:
    """A message that is on its way in: its head, then its parts; `requests` are the receives that are not done."""

    __slots__ = ("head", "parts", "requests")

    def __init__(self, head: Any, requests: list[Request]) -> None:
        self.head = head
        self.requests = requests
        self.parts: list[Buffer] | None = None

    def is_here(self) -> bool:
        """Return whether all receives that were posted are done."""
        requests = self.requests
        while requests and requests[-1].Test():
            requests.pop()
        return not requests


class Wire:
    """The messages of one rank, to and from the others of a communicator that nobody else uses.

    Attributes:
        take_room: returns memory for a big part that comes in, or `None`: it gets memory of its own.
    """

    def __init__(self, comm: Comm) -> None:
        from mpi4py import MPI

        self._comm, self._bulk = comm, comm.Dup()
        self._any, self._byte, self._status = (MPI.ANY_SOURCE, MPI.ANY_TAG), MPI.BYTE, MPI.Status()
        self._allocate = MPI.buffer.allocate
        self.take_room: Callable[[int], memoryview | None] = lambda _size: None
        self._sending: dict[int, deque[tuple[Request, Buffer]]] = {}
        self._arriving: dict[int, deque[_IncomingMessage]] = {}
        self._early: dict[int, dict[int, _IncomingMessage]] = {}
        self._heads_out, self._pieces_out = [0] * comm.size, [0] * comm.size
        self._heads_in, self._pieces_in = [0] * comm.size, [0] * comm.size

    @property
    def busy(self) -> bool:
        """Something is on its way in or out, and moves only while `receive` or `progress` is called."""
        return bool(self._arriving or self._early or self._sending)

    def send(self, rank: int, parts: Sequence[Buffer]) -> None:
        """Send a message to a rank; its parts are kept until they are gone."""
        if len(parts) == 1 and len(parts[0]) < _ALONE:
            self._send_head(rank, parts[0])
            return
        head: list[Buffer] = [struct.pack(f"<Q{len(parts)}Q", len(parts) << 8, *map(len, parts))]
        head += [part for part in parts if len(part) < _ALONE]
        self._send_head(rank, b"".join(_pad(part) for part in head))
        for part in parts:
            if len(part) >= _ALONE:
                view = memoryview(part)
                for start in range(0, len(part), _PIECE):
                    self._post(self._bulk, rank, view[start : start + _PIECE], _count(self._pieces_out, rank))

    def receive(self) -> list[tuple[int, list[Buffer]]]:
        """Return the messages that have come, each with the rank it is from; those of one rank in their order."""
        status, arriving, expected = self._status, self._arriving, self._heads_in
        come: list[tuple[int, list[Buffer]]] = []
        probe, (anyone, any_tag) = self._comm.Improbe, self._any
        # What a probe itself makes MPI take in, only the next one tells of.
        while found := (probe(anyone, any_tag, status) or (not come and probe(anyone, any_tag, status))):
            source, number, size = status.source, status.tag, status.Get_count(self._byte)
            head: Any = bytearray(size) if size < _ALONE else self._allocate(size)
            requests = []
            if size > _EAGER:
                requests.append(found.Irecv([head, self._byte]))
            else:
                found.Recv([head, self._byte])
            if not requests and head[0] == _PICKLE and number == expected[source] and source not in arriving:
                expected[source] = (number + 1) % _TAGS
                come.append((source, [head]))
            else:
                self._early.setdefault(source, {})[number] = _IncomingMessage(head, requests)
            if source in self._early:
                self._queue_early(source)
        if arriving:
            self._take_arrived(come)
        return come

    def progress(self) -> None:
        """Let go of what has been sent."""
        if not self._sending:
            return
        for rank, queue in list(self._sending.items()):
            while queue and queue[0][0].Test():
                queue.popleft()
            if not queue:
                del self._sending[rank]

    def drain(self, patience_s: float | None = None) -> None:
        """Wait until everything has been sent, or until patience is at its end."""
        deadline = None if patience_s is None else time.perf_counter() + patience_s
        self.progress()
        while self._sending and (deadline is None or time.perf_counter() < deadline):
            os.sched_yield()
            self.progress()

    def free(self) -> None:
        """Let go of what is MPI's; all ranks must call it."""
        self._bulk.Free()

    def _queue_early(self, source: int) -> None:
        """Put messages behind those that are arriving from a rank, as far as none is missing before them."""
        early = self._early[source]
        while (number := self._heads_in[source]) in early:
            _count(self._heads_in, source)
            self._arriving.setdefault(source, deque()).append(early.pop(number))
        if not early:
            del self._early[source]

    def _send_head(self, rank: int, head: Buffer) -> None:
        self._post(self._comm, rank, head, _count(self._heads_out, rank))

    def _post(self, comm: Comm, rank: int, part: Buffer, tag: int) -> None:
        """Begin to send one piece."""
        request = comm.Isend([part, self._byte], rank, tag)
        if rank in self._sending or not request.Test():
            self._sending.setdefault(rank, deque()).append((request, part))

    def _take_arrived(self, come: list[tuple[int, list[Buffer]]]) -> None:
        """Move what is complete by now from `_arriving` to `come`."""
        for source, queue in list(self._arriving.items()):
            while queue and self._advance(source, queue[0]):
                parts = queue.popleft().parts
                assert parts is not None
                come.append((source, parts))
            if not queue:
                del self._arriving[source]

    def _advance(self, source: int, arrival: _IncomingMessage) -> bool:
        """Return whether a message is complete; the receives of its big parts begin once its head is here."""
        if not arrival.is_here():
            return False
        if arrival.parts is None:
            if arrival.head[0] == _PICKLE:
                arrival.parts = [arrival.head]
            else:
                arrival.parts = self._open_head(source, arrival)
        return arrival.is_here()

    def _open_head(self, source: int, arrival: _IncomingMessage) -> list[Buffer]:
        """Return the parts of a message: those in its head, and room for the others, whose receives are begun."""
        view = memoryview(arrival.head)
        count = struct.unpack_from("<Q", view)[0] >> 8
        place = _padded(8 + 8 * count)
        parts: list[Buffer] = []
        for size in struct.unpack_from(f"<{count}Q", view, 8):
            if size < _ALONE:
                parts.append(view[place : place + size])
                place += _padded(size)
                continue
            room = self._find_room(size)
            parts.append(room)
            for start in range(0, size, _PIECE):
                piece = room[start : start + _PIECE]
                arrival.requests.append(self._bulk.Irecv([piece, self._byte], source, _count(self._pieces_in, source)))
        return parts

    def _find_room(self, size: int) -> memoryview:
        """Return memory for a big part."""
        room = self.take_room(size)
        if room is not None or size >= KEPT:
            return room or map_pages(size)
        keep_heap()
        block: Any = self._allocate(size)  # not zeroed first
        return memoryview(block)


def _count(counters: list[int], rank: int) -> int:
    """Return the next number for a rank, and count on."""
    number = counters[rank]
    counters[rank] = (number + 1) % _TAGS
    return number


def _padded(size: int) -> int:
    """Return `size` rounded up, so that what comes next is aligned."""
    return -(-size // _ALIGN) * _ALIGN


def _pad(part: Buffer) -> bytes:
    """Return a part with zeros behind it, so that what comes next is aligned."""
    return bytes(part).ljust(_padded(len(part)), b"\0")
