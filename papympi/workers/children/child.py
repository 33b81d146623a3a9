"""A child process: loads the program, evaluates tasks and sends home what comes of them, until nobody wants more."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from papympi.errors import SetupError, ShippingError
from papympi.model.tracebacks import tell_traceback
from papympi.transport import frames
from papympi.transport.arena import ChildAllocator
from papympi.transport.packed import map_packed
from papympi.transport.records import Logs
from papympi.transport.sealed import open_task, seal_outcome
from papympi.transport.task import Kind, Outcome
from papympi.workers.children.citizen import introduce
from papympi.workers.children.mpi_blocks import watch_import
from papympi.workers.children.output import OutputMarker
from papympi.workers.children.renewal import RENEW, Endurance, Growth
from papympi.workers.evaluation.evaluate import Evaluator
from papympi.workers.evaluation.loading import load_program
from papympi.workers.evaluation.progress import HALTED, SharedProgressRecord
from papympi.workers.evaluation.recorder import OutputRecorder, show
from papympi.workers.evaluation.setups import WorkerSetups
from papympi.workers.host import limit_memory


class ChildDescriptors(NamedTuple):
    """What a child begins with: the socket that it is spoken to through, and the descriptors of its memory files.

    Attributes:
        record: in which it says what it is at.
        arena: through which big buffers travel.
        program: in which the packed program is, unless the first message has it.
        output: what its standard output and error become.
        tracker: what the resource tracker of multiprocessing is told through.
    """

    connection: socket.socket
    record: int
    arena: int | None = None
    program: int | None = None
    output: int | None = None
    tracker: int | None = None


def _report_crash(
    connection: socket.socket, _kind: type[BaseException] | None, error: BaseException | None, _trace: object
) -> None:
    """Send home what a child dies of, when that is an exception and not a signal, and end it with exit code 1."""
    if isinstance(error, Exception):
        words = [f"{error}\n"] if isinstance(error, ShippingError) else []
        with contextlib.suppress(OSError):
            words = [*words, tell_traceback(error, tells_own=True)]
            frames.send(connection, error if type(error) is SetupError else "".join(words))
        raise SystemExit(1) from None


def _close(connection: socket.socket) -> None:
    """Close a connection, which a function of the user's may have closed."""
    with contextlib.suppress(OSError):
        connection.close()


class _Copies:
    """Sees to it that a process that a function forks is none of papympi's: the worker's affairs are not its own.

    Attributes:
        is_copy: this process is such a one.
    """

    def __init__(self, connection: socket.socket, record: SharedProgressRecord, marker: OutputMarker) -> None:
        self.is_copy = False
        self._connection = connection
        self._record = record
        self._marker = marker
        os.register_at_fork(after_in_child=self._leave)

    def _leave(self) -> None:
        """Let go of what belongs to the worker."""
        self.is_copy = True
        self._connection.close()
        self._record.part()
        self._marker.rest()

    def end(self) -> None:
        """End a copy that has come back from the function that it was made in; what it has printed is seen."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.flush()
        os._exit(0)


class _Sender:
    """Sends messages home, one at a time: what threads of the user's code print must not come between others."""

    def __init__(self, connection: socket.socket, blocks: ChildAllocator | None) -> None:
        self._connection = connection
        self._blocks = blocks
        self._lock = threading.Lock()

    def send(self, message: Any) -> None:
        """Send a message; what is printed when nobody reads any more is shown by the child itself."""
        try:
            with self._lock:
                frames.send(self._connection, message, self._blocks)
        except OSError:
            if not isinstance(message, Logs):
                raise
            show(message)


def work(given: ChildDescriptors) -> None:
    """Be a child: load the program, evaluate tasks until the connection is closed."""
    record = SharedProgressRecord(given.record)
    os.close(given.record)
    with contextlib.ExitStack() as stack, contextlib.suppress(ConnectionError):
        stack.callback(_close, given.connection)
        stack.push(partial(_report_crash, given.connection))
        marker = OutputMarker(given.output, record)
        copies = _Copies(given.connection, record, marker)
        blocks = None if given.arena is None else ChildAllocator(given.arena)
        messages = _read_all(frames.FrameReader(given.connection, blocks))
        hello = next(messages, None)
        if hello is None:
            return
        label, packed, memory, *terms = hello
        growth = Growth(terms[0].renew_above if terms else 0, memory)
        if blocks is not None:
            blocks.use_part(terms.pop())
        if memory:
            limit_memory(memory)
        watch_import()
        introduce(terms[0] if terms else None, given.tracker)
        sender = _Sender(given.connection, blocks)
        recorder = OutputRecorder(label, sender.send)
        program = load_program(packed if given.program is None else map_packed(given.program))
        evaluator = Evaluator(program, label, record, memory=memory, recorder=recorder)
        setups = WorkerSetups(program, label, recorder, record)
        duty = _Duty(evaluator, sender, marker, growth, record)
        try:
            setups.open()
            sender.send(None)
            marker.end_batch(None, 0, evaluator)
            for message in messages:
                if type(message) is list:
                    assert blocks is not None
                    blocks.give(message)
                elif not duty.do(message, copies):
                    break
        finally:
            marker.leave()
            evaluator.close()
            setups.close()


class _Duty:
    """What a child does with each task."""

    def __init__(
        self, evaluator: Evaluator, sender: _Sender, marker: OutputMarker, growth: Growth, record: SharedProgressRecord
    ) -> None:
        self._evaluator = evaluator
        self._sender = sender
        self._marker = marker
        self._growth = growth
        self._record = record
        self._endurance = Endurance()

    def do(self, message: tuple[Any, ...], copies: _Copies) -> bool:
        """Evaluate a task and send its outcome; return `False` if the child has no memory for it and resigns."""
        task, is_sealed = open_task(message)
        if self._record.slots[HALTED] == 1 and task.kind is not Kind.DISCARD:
            self._send(Outcome.of_unbegun(task.id), is_sealed=is_sealed)
            return True
        self._endurance.begin(task)
        outcome = self._evaluator.run(task)
        if copies.is_copy:
            copies.end()
        self._marker.end_batch(task, outcome.seconds, self._evaluator)
        exhausted = self._evaluator.take_exhausted()
        if exhausted and (resignation := self._endurance.resign(task)) is not None:
            if outcome.logs is not None:
                self._sender.send(outcome.logs)
            self._sender.send(resignation)
            return False
        if task.kind is not Kind.DISCARD:
            self._send(outcome, is_sealed=is_sealed)
            if exhausted or (self._growth.watched and self._growth.is_too_much()):
                self._sender.send(RENEW)
        return True

    def _send(self, outcome: Outcome, *, is_sealed: bool) -> None:
        self._sender.send(seal_outcome(outcome) if is_sealed else outcome.to_wire())


def _read_all(reader: frames.FrameReader) -> Iterator[Any]:
    """Yield messages until the other end is closed."""
    while True:
        try:
            messages = reader.read()
        except EOFError:
            return
        yield from messages
