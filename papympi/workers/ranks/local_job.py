"""Local ranks as the user's process has them: starts mpiexec, and talks to its rank 0 through a socket."""

from __future__ import annotations

import codecs
import contextlib
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import PickleBuffer
from typing import IO, Final

from papympi.errors import LaunchError, PoolError
from papympi.script.interpreter import list_flags
from papympi.transport.arena import open_arena
from papympi.transport.frames import FrameReader, FrameWriter
from papympi.transport.lending import ParentAllocator
from papympi.transport.relaying import offer
from papympi.workers.children.mpi_blocks import kill_tree
from papympi.workers.evaluation.recorder import write_text
from papympi.workers.ranks.messages import Answer, LeaveWorld, Order, RankLeft, RanksStarted, from_parts, to_parts
from papympi.workers.ranks.relay import BOOT, ORDERLY_S, Frame, address, drop_path, is_own, make_path

_LAUNCH_S: Final = 120.0
"""How long mpiexec may take to start the ranks."""
_GRACE_S: Final = 3.0
"""How long an end may take before everything is killed."""
_LAST_WORDS: Final = 4000
_READ: Final = selectors.EVENT_READ
_BOTH: Final = selectors.EVENT_READ | selectors.EVENT_WRITE


class LocalJob:
    """Ranks on this host, in a session of their own. Nothing of them outlives this object or its process.

    Args:
        owner: the pool that they belong to, for messages.
        ranks: how many, rank 0 included.
        isolates: they may be told to isolate.
        shared: how many bytes of shared memory big buffers may take on their way to rank 0 and back.

    Attributes:
        hosts: host and process id of each rank, once they are started.
    """

    def __init__(self, owner: str, ranks: int, *, isolates: bool = True, shared: int = 0) -> None:
        self.hosts: list[tuple[str, int]] = []
        self._owner = owner
        self._ranks = ranks
        self._isolates = isolates
        self._path = make_path()
        self._selector = selectors.DefaultSelector()
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self._reader: FrameReader | None = None
        self._writer: FrameWriter | None = None
        self._arena = open_arena(shared, 1)
        self._blocks = None if self._arena is None else ParentAllocator(self._arena, 0)
        self._held: dict[int, list[memoryview]] = {}
        self._outputs: list[OutputPipe] = []
        self._broken = False
        self._waits_for_room = False

    @property
    def program(self) -> list[str]:
        """What each rank runs."""
        folders = [folder or str(Path.cwd()) for folder in sys.path]
        numbers = str(self._ranks), str(int(self._isolates))
        return [sys.executable, *list_flags(), "-c", BOOT, self._path, *numbers, *folders]

    def start(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start mpiexec and wait until its ranks are there."""
        with socket.socket(socket.AF_UNIX) as listener:
            with address(self._path) as name:
                listener.bind(name)
            listener.listen(self._ranks)
            try:
                self._process = subprocess.Popen(
                    argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                    start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise LaunchError(f"pool {self._owner!r}: cannot start {argv[0]}: {error}") from error
            self._watch_output()
            self._sock = self._accept(listener)
        drop_path(self._path)
        with contextlib.suppress(OSError):  # its end will be noticed
            offer(self._sock, self._arena)
        self._sock.settimeout(0)
        self._reader, self._writer = FrameReader(self._sock, self._blocks), FrameWriter(self._sock, self._blocks)
        self._selector.register(self._sock, _READ)
        deadline = time.monotonic() + _LAUNCH_S
        while not self.hosts:
            self._selector.select(self._time_left(deadline))
            for _, answer in self.take():
                if isinstance(answer, RanksStarted):
                    self.hosts = answer.hosts

    def send(self, number: int, order: Order) -> None:
        """Send an order to a rank, by its number behind the first, which is -1; what must wait, `take` sends."""
        assert self._writer is not None
        blocks = self._blocks
        if blocks is not None and blocks.returned:
            self._writer.put(blocks.take_returned())
        self._writer.put((number + 1, [PickleBuffer(part) for part in to_parts(order)]))
        if blocks is not None:
            for view in blocks.take_held():
                self._held.setdefault(blocks.locate(view), []).append(view)
        self._flush()

    def take(self) -> list[tuple[int, Answer]]:
        """Return the answers that have come, each with the rank's number; raise if the ranks ended by themselves."""
        frames: list[Frame] = []
        for key, events in self._selector.select(0):
            if key.data is not None:
                self._read_output(key.data)
                continue
            try:
                if events & selectors.EVENT_WRITE:
                    self._flush()
                if events & _READ:
                    assert self._reader is not None
                    frames += self._reader.read()
            except (EOFError, OSError) as error:
                raise self._explain() from error
        for frame in frames:
            if isinstance(frame, list):
                self._release(frame)
        return [(frame[0] - 1, from_parts(frame[1])) for frame in frames if isinstance(frame, tuple)]

    def _release(self, offsets: list[int]) -> None:
        """Let go of blocks that rank 0 has handed on."""
        for offset in offsets:
            self._held[offset].pop()
            if not self._held[offset]:
                del self._held[offset]

    def fileno(self) -> int:
        """Return a descriptor that is readable when `take` has something to do."""
        return self._selector.fileno()

    def close(self) -> None:
        """End the ranks, which have nothing to do any more, and wait until they are gone."""
        if self._sock is not None and not self._broken:
            with contextlib.suppress(PoolError):
                self.send(-1, LeaveWorld(hasty=False))
                deadline = time.monotonic() + ORDERLY_S + 1.0  # a little more than the relay gives them
                while not any(isinstance(answer, RankLeft) for number, answer in self.take() if number < 0):
                    self._selector.select(self._time_left(deadline))
        self.kill()

    def kill(self) -> None:
        """End the ranks whatever they are doing, and wait until they are gone."""
        self._broken = True
        if self._sock is not None:
            self._selector.unregister(self._sock)
            self._sock.close()
            self._sock = None
        if self._process is not None:
            self._end_process(self._process)
            self._process = None
        for output in self._outputs:
            output.pipe.close()
        self._outputs.clear()
        self._selector.close()
        self._held.clear()
        if self._arena is not None:
            self._arena.close()
            self._arena = self._blocks = None
        drop_path(self._path)

    def _watch_output(self) -> None:
        """Begin to pass on what the ranks print."""
        assert self._process is not None
        for name in ("stdout", "stderr"):
            pipe = getattr(self._process, name)
            self._outputs.append(OutputPipe(pipe))
            self._selector.register(pipe, _READ, self._outputs[-1])

    def _read_output(self, output: OutputPipe) -> None:
        """Pass on what has been printed; before the ranks are there, and when they broke, it belongs to the error."""
        if not output.read(quiet=self._broken or self._sock is None):
            self._selector.unregister(output.pipe)

    def _flush(self) -> None:
        """Send what the socket takes, and watch for room if it does not take all."""
        assert self._writer is not None
        assert self._sock is not None
        try:
            done = self._writer.flush()
        except OSError:
            done = True  # the end of the socket says more, once everything before it has been read
        if done == self._waits_for_room:
            self._waits_for_room = not done
            self._selector.modify(self._sock, _READ if done else _BOTH)

    def _accept(self, listener: socket.socket) -> socket.socket:
        """Return the connection that rank 0 opens; mpiexec may end before it does."""
        assert self._process is not None
        deadline = time.monotonic() + _LAUNCH_S
        self._selector.register(listener, _READ, listener)
        try:
            while self._process.poll() is None:
                for key, _ in self._selector.select(min(0.1, self._time_left(deadline))):
                    if key.data is listener:
                        connection: socket.socket = listener.accept()[0]
                        if is_own(connection):
                            return connection
                        connection.close()
                    else:
                        self._read_output(key.data)
        finally:
            self._selector.unregister(listener)
        raise self._explain()

    def _time_left(self, deadline: float) -> float:
        """Return the seconds until `deadline`; raise if it is past."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise LaunchError(f"pool {self._owner!r}: mpiexec does not answer{self._last_words()}")
        return left

    def _explain(self) -> PoolError:
        """Return the error for ranks that ended by themselves."""
        self._broken = True
        assert self._process is not None
        code = self._await_exit(self._process, _GRACE_S)
        how = f"mpiexec ended with exit code {code}" if code is not None else "mpiexec has not ended"
        if not self.hosts:
            return LaunchError(f"pool {self._owner!r}: local ranks could not be started: {how}{self._last_words()}")
        advice = "" if self._isolates else "\nWith `isolate = true` a crash costs only the item that caused it."
        return PoolError(
            f"pool {self._owner!r}: a rank ended and took the others with it ({how}){self._last_words()}{advice}"
        )

    def _last_words(self) -> str:
        """Return what mpiexec and the ranks have printed last."""
        text = "\n".join(output.text.strip() for output in self._outputs if output.text.strip())
        return f"; it said:\n{text}" if text else ""

    def _end_process(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until mpiexec has ended all ranks; after a while, kill it and them."""
        if self._await_exit(process, _GRACE_S if self.hosts else 0.0) is None:
            kill_tree(process.pid)
            process.wait()

    def _await_exit(self, process: subprocess.Popen[bytes], patience_s: float) -> int | None:
        """Return the exit code of mpiexec, `None` if it takes too long; what is printed meanwhile is passed on."""
        deadline = time.monotonic() + patience_s
        while True:
            code = process.poll()
            events = [key.data for key, _ in self._selector.select(0 if code is not None else 0.005) if key.data]
            for output in events:
                self._read_output(output)
            if (code is not None and not events) or time.monotonic() > deadline:
                return code


class OutputPipe:
    """What comes out of one pipe: passed on to standard error, and its end remembered for the message that needs it.

    Attributes:
        text: the end of what has come.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self.pipe = pipe
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self, *, quiet: bool) -> bool:
        """Take what there is; return whether there may be more to come."""
        data = os.read(self.pipe.fileno(), 65536)
        text = self._decoder.decode(data)
        self.text = (self.text + text)[-_LAST_WORDS:]
        if text and not quiet:
            write_text(text)
        return bool(data)
