"""One child process as its parent sees it, from its first task to the report of its death."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import Any, Final

from papympi.errors import ItemTimeout, PoolError, SetupError, ShippingError, WorkerLost
from papympi.plan.program import Program
from papympi.transport.frames import FrameReader, FrameWriter
from papympi.transport.lending import ParentAllocator
from papympi.transport.packed import Packed
from papympi.transport.records import Logs
from papympi.transport.sealed import read_sealed
from papympi.transport.task import Lost, Outcome, Task
from papympi.workers.children.citizen import NO_TERMS, ChildTerms, Passport, find_secret
from papympi.workers.children.client import ANSWER_S, ForkServerClient
from papympi.workers.children.output import OutputReader
from papympi.workers.children.renewal import RENEW, Resignation
from papympi.workers.children.workload import Workload, count_items
from papympi.workers.evaluation.alarm import MERCY_S, find_shortest_timeout
from papympi.workers.evaluation.programs import kill_worker
from papympi.workers.evaluation.progress import HALTED, ProgressSnapshot, SharedProgressRecord, create_record_file
from papympi.workers.host import format_memory, is_readable, open_pidfd, tell_end

_DYING_S: Final = 0.5
"""How long a child that has closed its connection may take to end."""
_FEW: Final = 3
"""How often in a row a child may die before it has loaded its program."""


class ChildHandle:
    """One child: send it tasks, read its outcomes, and when it dies learn what it was at and put another in its place.

    The parent's end of the socket never blocks. When `descriptors` say that there is something, `read`; when that
    raises, or the last descriptor says so, the child has ended: `reap` it and `start` another.

    Args:
        number: the worker's number in its pool.
        name: how messages name the worker, e.g. `processes[3]`.
        program: what the child is told first.
        packed: the same as the child gets it.
        terms: what it has in common with others.
        blocks: shared memory for big buffers, if there is any.

    Attributes:
        label: the child's name with process id and host.
        descriptors: what to watch: the socket, then, on Linux, the process: one that it has forked keeps the socket.
        end: the second of them, which stays after `hang_up`; -1 where there is no such thing.
        said: what it has printed and logged.
        output: what else to watch, for `listen`: what is written to the child's standard output and error.
        is_due: another is to take its place as soon as it has nothing at hand.
        resignation: it has ended by itself, for want of memory.
    """

    def __init__(
        self,
        number: int,
        name: str,
        fork_server: ForkServerClient,
        program: Program,
        packed: Packed,
        terms: ChildTerms = NO_TERMS,
        *,
        blocks: ParentAllocator | None = None,
    ) -> None:
        self.number = number
        self.name = name
        self.label = name
        self.pid = self._startup_failures = 0
        self.descriptors: tuple[int, ...] = ()
        self._fork_server = fork_server
        self._program = program
        self._packed = packed
        self._terms = terms
        self._blocks = blocks
        self._held: dict[int, list[memoryview]] = {}
        self._shortest = find_shortest_timeout(program)
        self.workload = Workload(program, counts=terms.renewal.after > 0)
        self.output = -1
        self._last_words: str | SetupError = ""
        self._reason = ""
        self._resources = contextlib.ExitStack()

    def renew(self) -> ChildHandle:
        """Return the handle of another child, to take the place of this one."""
        program = self._program, self._packed
        return ChildHandle(self.number, self.name, self._fork_server, *program, self._terms, blocks=self._blocks)

    def resign(self) -> Lost:
        """Return the report of a child that has ended for want of memory."""
        assert self.resignation is not None
        limit = f"it had no memory left; its limit is {format_memory(self._terms.memory)}"
        task = self.resignation.task if self.resignation.alone else None
        return Lost(self.number, WorkerLost(self.label, limit), task, logs=self.said.take())

    def start(self) -> bool:
        """Start a child and send it the program; return `False` if some of it must wait, as `send` does."""
        self._check_startup()
        self._ready = self.is_due = False
        self.resignation: Resignation | None = None
        self._last_words = ""
        self._overdue: ProgressSnapshot | None = None
        self._is_given_up = False
        blocks = self._blocks
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as given:
            ours, theirs = socket.socketpair()
            given.enter_context(theirs)
            stack.enter_context(ours)
            record = create_record_file()
            given.callback(os.close, record)
            self._record = SharedProgressRecord(record)
            stack.callback(self._record.close)
            listening, output = os.pipe()
            stack.callback(os.close, listening)
            given.callback(os.close, output)
            arena = None if blocks is None else blocks.descriptor
            others = {"arena": arena, "program": self._packed.file, "output": output, "tracker": self._terms.tracker}
            self.pid = self._fork_server.spawn(theirs, record, **others)
            self.end = open_pidfd(self.pid)
            if self.end >= 0:
                stack.callback(os.close, self.end)
            self._resources = stack.pop_all()
        self.descriptors = (ours.fileno(), self.end) if self.end >= 0 else (ours.fileno(),)
        self.label = f"{self.name} pid {self.pid} on {socket.gethostname()}"
        ours.settimeout(0)
        self._socket = ours
        self.output, self.said = listening, OutputReader(listening, self.label)
        self._reader = FrameReader(ours, blocks)
        self._writer = FrameWriter(ours, blocks)
        terms = () if blocks is None else (blocks.child_part(),)
        passport = Passport(self.name, os.getpid(), self._terms.secret or find_secret(), self._terms.renewal.above)
        self._writer.put((self.label, self._packed, self._terms.memory, passport, *terms))
        return self.flush()

    def weigh(self, task: Task) -> None:
        """Note whether a task would be more items than the child is to have."""
        self.is_due |= 0 < self.workload.items > self._terms.renewal.after - count_items(task)

    def send(self, task: Task) -> bool:
        """Send a task, all of it or none; return `False` if some must wait until the socket can be written to."""
        blocks = self._blocks
        if blocks is not None and blocks.returned:
            self._writer.put(blocks.take_returned())
        self._writer.put(task.to_wire())
        if blocks is not None and blocks.held:
            self._held[task.id] = blocks.take_held()
        self.workload.put(task)
        return self.flush()

    def flush(self) -> bool:
        """Send what the socket takes; return `False` if something is left. A child that has died takes everything."""
        try:
            return self._writer.flush()
        except OSError:  # reading tells of it, after what the child has sent
            return True

    def read(self) -> list[Outcome]:
        """Receive once; return the outcomes that are complete."""
        outcomes = []
        for message in self._reader.read():
            if type(message) is tuple:
                outcomes.append(self._take_outcome(message))
            elif type(message) is Logs:
                self.said.put(message)
            elif message is None:
                self._ready = True
                self._startup_failures = 0
            elif isinstance(message, (str, SetupError)):
                self._last_words = message
            else:
                self.is_due = True
                self.resignation = None if message is RENEW else message
        return outcomes

    def _take_outcome(self, message: tuple[Any, ...]) -> Outcome:
        """Return an outcome that has come, with what was said before it."""
        outcome = Outcome.from_wire(message) if message[0] is not None else read_sealed(message)
        self.workload.take(outcome.task, gone=outcome.finished or bool(outcome.again))
        self.said.finish()
        if self._held:
            self._held.pop(outcome.task, None)
        if self.said.logs is not None:
            outcome.logs = self.said.take(outcome.logs)
        return outcome

    def listen(self) -> bool:
        """Read once what is written to the child's standard output and error; return `False` when that is over."""
        return self.said.listen(self._record, self.workload.locate)

    def reap(self) -> tuple[list[Outcome], Lost]:
        """See that the child is dead, and return the outcomes that it had still sent, and what is known of its end."""
        went = self._wait_dead(_DYING_S)
        self.kill()  # what it left in its group, if it went by itself
        self._wait_dead(ANSWER_S)
        progress = self._record.read()
        self.hear_out()
        outcomes = self._drain()
        self.close()
        pid, self.pid = self.pid, 0
        code = self._fork_server.reap(pid)
        reason = tell_end(code, self._terms.memory) if went else "it closed its connection and did not end"
        if self._last_words:
            reason += f"\n{str(self._last_words).rstrip()}"
        lost = self._report(reason, progress)
        lost.logs = self.said.take()
        self.workload.clear()
        if not self._ready:
            self._startup_failures += 1
        return outcomes, lost

    def kill(self) -> None:
        """Kill the child and what it has started; `descriptors` will tell of its end."""
        if self.pid:
            kill_worker(self.pid)

    def hang_up(self) -> None:
        """Close the connection, which ends the child once it has finished what it is at; the fork server reaps it."""
        self.descriptors = ()
        self._held.clear()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # closing is not enough if a copy of this process was forked

    def hear_out(self) -> None:
        """Read all that is written there, when nobody watches it any more."""
        if self.output >= 0:
            self.said.read_all(self.workload.locate(self._record.read(finished=True)))

    def close(self) -> None:
        """Hang up, and let go of all that belongs to the child."""
        self.hang_up()
        self.output = -1
        self._resources.close()

    def progress(self) -> ProgressSnapshot:
        """Return what the child is at."""
        return self._record.read()

    def halt(self) -> None:
        """Let the child begin no task any more; what it has been sent comes home unbegun."""
        self._record.slots[HALTED] = 1

    def deadline(self) -> float | None:
        """Return when the child has to be looked at again, by `time.monotonic`; `None`: it is at nothing."""
        if not len(self.workload) or not self._shortest:
            return None
        timeout, end = self.workload.find_timeout(self._record.read())
        return end if timeout else time.monotonic() + self._shortest + MERCY_S

    def kill_overdue(self) -> None:
        """Kill the child if the item that it is at has had its time; `descriptors` will tell of its end."""
        progress = self._record.read()
        if time.monotonic() >= self.workload.find_timeout(progress)[1] and not self.workload.excuse_stopped(self.pid):
            self._overdue = progress
            self.kill()

    def give_up(self) -> None:
        """Kill the child although nothing is wrong with what it is at; all of that will be done again."""
        self._is_given_up = True
        self.kill()

    def _check_startup(self) -> None:
        """Raise if the last child could not load the program, or if too many have died of something before."""
        if self._startup_failures and self._last_words:
            if isinstance(self._last_words, SetupError):
                raise self._last_words
            raise ShippingError(f"worker {self.label} cannot load the program:\n{self._last_words.rstrip()}")
        if self._startup_failures >= _FEW:
            many = f"{_FEW} children in a row of worker {self.name} died before they were ready"
            raise PoolError(f"{many}: {self._reason}")

    def _wait_dead(self, seconds: float) -> bool:
        """Return whether the child ends within `seconds`; without a pidfd its closed connection must do."""
        return self.end < 0 or is_readable(self.end, seconds)

    def _drain(self) -> list[Outcome]:
        """Return the outcomes that lie in the socket of a dead child."""
        outcomes: list[Outcome] = []
        with contextlib.suppress(EOFError, OSError):
            while is_readable(self._socket.fileno(), 0):
                outcomes += self.read()
        return outcomes

    def _report(self, reason: str, progress: ProgressSnapshot) -> Lost:
        """Return what is known of the child's end."""
        self._reason = reason = reason + self.workload.describe_making(progress)
        lost = Lost(self.number, WorkerLost(self.label, reason))
        if self._is_given_up:
            return lost
        if self._overdue is not None:
            timeout, _ = self.workload.find_timeout(self._overdue)
            lost.error = ItemTimeout(timeout, self.label, "replaced")
            if progress != self._overdue:  # it had just come to an end
                return lost
        self.workload.blame(lost, progress)
        return lost
