"""Messages on stream sockets: one pickled object each, with big buffers beside the pickle.

| number of buffers: 4 | length of the pickle: 8 | length and place of each buffer: 8 + 8 ... | pickle | buffers ... |

The place is an offset in shared memory, and the buffer is not in the message; or -1, and it is.
"""

from __future__ import annotations

import pickle
import socket
import struct
from collections import deque
from typing import Any

from papympi.transport.arena import LEAST
from papympi.transport.heap import allocate
from papympi.transport.lending import Blocks
from papympi.transport.payload import BIG, sort_out

Part = bytes | bytearray | memoryview

_HEAD = struct.Struct("<IQ")
_HEAD_SIZE = _HEAD.size
_PLACE = struct.Struct("<Qq")
_HERE = -1
_ROOM = 256 * 1024
_PARTS_AT_ONCE = 64


def pack(value: Any, blocks: Blocks | None = None) -> list[Part]:
    """Return the message that carries `value`, as parts to be sent one after the other.

    Buffers that are parts are not copied: they must stay as they are until they are sent.

    Args:
        value: anything that can be pickled.
        blocks: where buffers go that are big enough, as far as there is room.
    """
    buffers: list[memoryview] = []
    body = pickle.dumps(value, 5, buffer_callback=sort_out(buffers))
    head = _HEAD.pack(len(buffers), len(body))
    if buffers:
        places = [_HERE if blocks is None or buffer.nbytes < LEAST else blocks.put(buffer) for buffer in buffers]
        head += b"".join(_PLACE.pack(buffer.nbytes, place) for buffer, place in zip(buffers, places, strict=True))
        buffers = [buffer for buffer, place in zip(buffers, places, strict=True) if place == _HERE]
    if len(body) < BIG:
        return [head + body, *buffers]
    return [head, body, *buffers]


def send(sock: socket.socket, value: Any, blocks: Blocks | None = None) -> None:
    """Send `value` and wait until the socket has taken all of it; an `OSError` says that the peer is gone."""
    parts = pack(value, blocks)
    if len(parts) == 1:
        sock.sendall(parts[0])
        return
    queue = deque(parts)
    while queue:
        _drop_sent(queue, sock.sendmsg([queue[i] for i in range(min(len(queue), _PARTS_AT_ONCE))]))


class FrameWriter:
    """Sends messages without ever blocking: what the socket does not take waits here.

    Attributes:
        sock: a connected stream socket.
        blocks: where big buffers go, if the other end has them, too.
    """

    def __init__(self, sock: socket.socket, blocks: Blocks | None = None) -> None:
        self.sock = sock
        self.blocks = blocks
        self._queue: deque[Part] = deque()

    def put(self, value: Any) -> None:
        """Queue `value`; `flush` sends it."""
        self._queue.extend(pack(value, self.blocks))

    def flush(self) -> bool:
        """Send what the socket takes; return whether nothing is left. An `OSError` says that the peer is gone."""
        queue = self._queue
        while queue:
            try:
                if len(queue) == 1:
                    sent = self.sock.send(queue[0], socket.MSG_DONTWAIT)
                else:
                    parts = [queue[i] for i in range(min(len(queue), _PARTS_AT_ONCE))]
                    sent = self.sock.sendmsg(parts, (), socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            if len(queue) == 1 and sent == len(queue[0]):
                queue.clear()
            else:
                _drop_sent(queue, sent)
        return True


class FrameReader:
    """Takes messages from a socket, blocking or not, through one buffer that is used over and over.

    Attributes:
        sock: a connected stream socket.
        blocks: where buffers are that are not in the message.
    """

    def __init__(self, sock: socket.socket, blocks: Blocks | None = None) -> None:
        self.sock = sock
        self.blocks = blocks
        self._room = memoryview(bytearray(_ROOM))
        self._start = 0  # of what is in the room and not yet parsed
        self._stop = 0
        self._large: _Large | None = None

    def read(self) -> list[Any]:
        """Receive once; return the messages that are complete now.

        Raises:
            EOFError: the peer closed its end.
            OSError: the connection broke.
        """
        large = self._large
        target = self._room[self._stop :] if large is None else large.left
        try:
            received = self.sock.recv_into(target)
        except BlockingIOError:
            return []
        if not received:
            raise EOFError("the peer closed the connection")
        if large is None:
            self._stop += received
            return self._parse()
        large.advance(received)
        if not large.full:
            return []
        self._large = None
        return [large.load()]

    def _parse(self) -> list[Any]:
        """Take the complete messages out of the room, and begin the large one behind them if there is one."""
        messages: list[Any] = []
        room, start, stop = self._room, self._start, self._stop
        while stop - start >= _HEAD_SIZE:
            buffers, length = _HEAD.unpack_from(room, start)
            body = start + _HEAD_SIZE
            if not buffers and body + length <= stop:
                messages.append(pickle.loads(room[body : body + length]))
                start = body + length
            elif buffers or length > _ROOM // 2:
                large = _Large(buffers, length, self.blocks)
                start = body + large.feed(room[body:stop])
                if not large.full:
                    self._large = large
                    break
                messages.append(large.load())
            else:
                break
        if start == stop:
            self._start = self._stop = 0
        else:
            self._move_to_front(start)
        return messages

    def _move_to_front(self, start: int) -> None:
        """Make room for at least one more small message behind what is left from `start` on."""
        if self._stop > _ROOM // 2:
            left = self._stop - start
            self._room[:left] = bytes(self._room[start : self._stop])
            self._start, self._stop = 0, left
        else:
            self._start = start


class _Large:
    """A message on its way into memory of its own: the table of sizes, then the pickle and each buffer.

    Attributes:
        left: where the next bytes belong.
        full: all are there.
    """

    def __init__(self, buffers: int, length: int, shared: Blocks | None) -> None:
        self._length = length
        self._shared = shared
        self._places: list[tuple[int, int]] = []
        self._blocks: list[bytearray | memoryview] = [bytearray(_PLACE.size * buffers)]
        self._current = -1
        self.left = memoryview(b"")
        self.full = False
        self._next()

    def advance(self, received: int) -> None:
        """Take note that `received` bytes were put there."""
        self.left = self.left[received:]
        if not self.left:
            self._next()

    def feed(self, data: memoryview) -> int:
        """Copy from `data` what belongs to the message; return how much that was."""
        fed = 0
        while fed < len(data) and not self.full:
            size = min(len(self.left), len(data) - fed)
            self.left[:size] = data[fed : fed + size]
            fed += size
            self.advance(size)
        return fed

    def load(self) -> Any:
        """Return the message."""
        here = iter(self._blocks[2:])
        buffers = [next(here) if place == _HERE else self._get(place, size) for size, place in self._places]
        return pickle.loads(self._blocks[1], buffers=buffers)

    def _get(self, place: int, size: int) -> Part:
        """Return a buffer that is not in the message."""
        assert self._shared is not None
        return self._shared.get(place, size)

    def _next(self) -> None:
        """Go on to the next block that is not empty."""
        while not self.left:
            if self._current == 0:
                self._places = list(_PLACE.iter_unpack(self._blocks[0]))
                sizes = [size for size, place in self._places if place == _HERE]
                self._blocks += [allocate(size) for size in (self._length, *sizes)]
            self._current += 1
            if self._current == len(self._blocks):
                self.full = True
                return
            self.left = memoryview(self._blocks[self._current])


def _drop_sent(queue: deque[Part], sent: int) -> None:
    """Take the first `sent` bytes off the queue."""
    while sent:
        part = queue[0]
        size = len(part)
        if size > sent:
            queue[0] = memoryview(part)[sent:]
            return
        queue.popleft()
        sent -= size
