"""What the transport alone gives on this machine: reference loops without an engine, driven by one thread.

They know nothing of order, failures or memory, so no framework can beat them in what they do: batches of `x + 1`
through children on socket pairs, and through MPI ranks that are probed.
"""

from __future__ import annotations

import os
import pickle
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from benchmarks.functions import expect, increment
from benchmarks.harness import check, rate

LENGTH = struct.Struct("=I")
AHEAD = 2
"""How many batches each worker has at any time: one at work, one at hand."""
STOP, BATCH = 1, 2


def make_batches(count: int, stride: int) -> Iterator[bytes]:
    """Yield pickled batches of the numbers below `count`."""
    for start in range(0, count, stride):
        yield pickle.dumps(list(range(start, min(count, start + stride))), 5)


def answer(message: Any) -> bytes:
    """Return the results of a batch."""
    return pickle.dumps([increment(number) for number in pickle.loads(message)], 5)


class Stream:
    """Messages over a socket: what is read is cut into them, what is written waits until it fits."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._read = bytearray()
        self._unsent = bytearray()

    def receive(self) -> list[bytes]:
        """Return the messages that are whole after one read.

        Raises:
            EOFError: the other end is closed.
        """
        found = self.sock.recv(1 << 18)
        if not found:
            raise EOFError
        self._read += found
        messages, start = [], 0
        while len(self._read) - start >= LENGTH.size:
            end = start + LENGTH.size + LENGTH.unpack_from(self._read, start)[0]
            if end > len(self._read):
                break
            messages.append(bytes(self._read[start + LENGTH.size : end]))
            start = end
        del self._read[:start]
        return messages

    def send(self, message: bytes) -> bool:
        """Send a message, or as much of it as the socket takes; return whether nothing is left."""
        self._unsent += LENGTH.pack(len(message)) + message
        return self.flush()

    def flush(self) -> bool:
        """Send what is left of earlier messages; return whether nothing is."""
        try:
            while self._unsent:
                del self._unsent[: self.sock.send(self._unsent)]
        except BlockingIOError:
            return False
        return True


def serve_socket(sock: socket.socket) -> None:
    """Be a child: answer batches until the other end is closed."""
    stream = Stream(sock)
    try:
        while True:
            for message in stream.receive():
                stream.send(answer(message))
    except (EOFError, OSError):
        os._exit(0)


class Children:
    """Forked children, each at the other end of a socket pair."""

    def __init__(self, workers: int) -> None:
        self.selector = selectors.DefaultSelector()
        self.streams: list[Stream] = []
        for _ in range(workers):
            ours, theirs = socket.socketpair()
            if os.fork() == 0:
                for stream in self.streams:
                    stream.sock.close()
                ours.close()
                serve_socket(theirs)
            theirs.close()
            ours.setblocking(False)
            self.streams.append(Stream(ours))
            self.selector.register(ours, selectors.EVENT_READ, self.streams[-1])

    def close(self) -> None:
        """End them."""
        for stream in self.streams:
            stream.sock.close()
        for _ in self.streams:
            os.wait()

    def drive(self, batches: Iterator[bytes]) -> int:
        """Return the sum of all results."""
        total = under_way = 0
        for stream in self.streams * AHEAD:
            under_way += self._hand_on(stream, batches)
        while under_way:
            for key, events in self.selector.select():
                if events & selectors.EVENT_WRITE and key.data.flush():
                    self.selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
                if not events & selectors.EVENT_READ:
                    continue
                for message in key.data.receive():
                    total += sum(pickle.loads(message))
                    under_way += self._hand_on(key.data, batches) - 1
        return total

    def _hand_on(self, stream: Stream, batches: Iterator[bytes]) -> int:
        """Send the next batch, if there is one; return how many were sent."""
        batch = next(batches, None)
        if batch is None:
            return 0
        if not stream.send(batch):
            self.selector.modify(stream.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, stream)
        return 1


def measure_sockets(strides: list[int], seconds: float, most: int) -> dict[str, float]:
    """Return items a second through two children on socket pairs."""
    children = Children(2)
    found = measure_strides(children.drive, strides, seconds, most)
    children.close()
    return found


def measure_strides(
    drive: Callable[[Iterator[bytes]], int], strides: list[int], seconds: float, most: int
) -> dict[str, float]:
    """Return items a second of `x + 1` at each stride, of a loop that returns the sum of all results."""

    def prepare(count: int, stride: int) -> AbstractContextManager[Callable[[], None]]:
        expected = sum(expect("one node", range(count)))
        return nullcontext(lambda: check([drive(make_batches(count, stride))], [expected]))

    return {
        f"one node, stride {stride}": rate(
            lambda count, stride=stride: prepare(count, stride), seconds, least=64 * stride, most=most
        )
        for stride in strides
    }


class Nap:
    """What happens between two looks in vain: give the processor away, later sleep."""

    def __init__(self) -> None:
        self._vain = 0

    def take(self) -> None:
        """Wait a little."""
        self._vain += 1
        if self._vain < 100:
            os.sched_yield()
        else:
            time.sleep(min(2e-3, 2e-5 * (self._vain - 99)))

    def end(self) -> None:
        """Something has come."""
        self._vain = 0


class Ranks:
    """MPI ranks, driven and served by probing and sends that do not block."""

    def __init__(self) -> None:
        from mpi4py import MPI

        self.mpi, self.world, self.status = MPI, MPI.COMM_WORLD, MPI.Status()
        self._sending: deque[tuple[Any, bytes]] = deque()

    def send(self, message: bytes, rank: int, tag: int) -> None:
        """Send bytes and go on at once."""
        self._sending.append((self.world.Isend([message, self.mpi.BYTE], rank, tag), message))
        while self._sending and self._sending[0][0].Test():
            self._sending.popleft()

    def receive(self) -> tuple[bytearray, int, int]:
        """Wait for bytes; return them, their sender and their tag."""
        nap = Nap()
        while not self.world.Iprobe(self.mpi.ANY_SOURCE, self.mpi.ANY_TAG, self.status):
            nap.take()
        message = bytearray(self.status.Get_count(self.mpi.BYTE))
        source, tag = self.status.Get_source(), self.status.Get_tag()
        self.world.Recv([message, self.mpi.BYTE], source, tag)
        return message, source, tag

    def serve(self) -> None:
        """Be a worker until rank 0 says stop."""
        while True:
            message, _, tag = self.receive()
            if tag == STOP:
                break
            self.send(answer(message), 0, BATCH)
        self.mpi.Request.Waitall([request for request, _ in self._sending])

    def drive(self, batches: Iterator[bytes]) -> int:
        """Return the sum of all results."""
        total = under_way = 0
        free = list(range(1, self.world.size)) * AHEAD
        while True:
            while free and (batch := next(batches, None)) is not None:
                self.send(batch, free.pop(), BATCH)
                under_way += 1
            if not under_way:
                return total
            message, source, _ = self.receive()
            total += sum(pickle.loads(message))
            under_way -= 1
            free.append(source)

    def dismiss(self) -> None:
        """End the workers."""
        for rank in range(1, self.world.size):
            self.send(b"", rank, STOP)
        self.mpi.Request.Waitall([request for request, _ in self._sending])


def measure_ranks(strides: list[int], seconds: float, most: int) -> dict[str, float] | None:
    """Return items a second through ranks; on rank 0 alone."""
    ranks = Ranks()
    if ranks.world.rank:
        ranks.serve()
        return None
    found = measure_strides(ranks.drive, strides, seconds, most)
    ranks.dismiss()
    return found
