"""One child process as its parent sees it, from its first task to the report of its death."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from typing import Final

from papympi.errors import ItemTimeout, PoolError, ShippingError, WorkerLost
from papympi.plan.program import Program
from papympi.transport.frames import FrameReader, FrameWriter
from papympi.transport.lending import ParentAllocator
from papympi.transport.packed import Packed
from papympi.transport.records import Logs
from papympi.transport.sealed import read_sealed
from papympi.transport.task import Kind, Lost, Outcome, Task
from papympi.workers.children.citizen import Passport, find_secret
from papympi.workers.children.client import ANSWER_S, ForkServerClient, open_pidfd
from papympi.workers.children.output import OutputReader
from papympi.workers.children.renewal import NEVER, RENEW, Renewal, Resignation
from papympi.workers.children.workload import Workload, count_items
from papympi.workers.evaluation.alarm import MERCY_S, find_shortest_timeout
from papympi.workers.evaluation.progress import ProgressSnapshot, SharedProgressRecord, create_record_file
from papympi.workers.host import format_memory, tell_end

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
        memory: how many bytes it may allocate; 0: as many as there are.
        blocks: shared memory for big buffers, if there is any.
        secret: of the caller's; default: this process's.
        tracker: what the child tells the resource tracker through.
        renewal: when another is to take the child's place.

    Attributes:
        label: the child's name with process id and host.
        descriptors: what to watch: first the socket, then, on Linux, the end of the process. A child's end does not
            close the socket while a process that it forked still holds it.
        end: the second of them, which stays after `hang_up`; -1 where there is no such thing.
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
        memory: int = 0,
        *,
        blocks: ParentAllocator | None = None,
        secret: bytes = b"",
        tracker: int | None = None,
        renewal: Renewal = NEVER,
    ) -> None:
        self.number = number
        self.name = name
        self.label = name
        self.pid = 0
        self.descriptors: tuple[int, ...] = ()
        self._fork_server = fork_server
        self._program = program
        self._packed = packed
        self._memory = memory
        self._blocks = blocks
        self._secret = secret
        self._tracker = tracker
        self._renewal = renewal
        self._held: dict[int, list[memoryview]] = {}
        self._shortest = find_shortest_timeout(program)
        self.workload = Workload(program, counts=renewal.after > 0)
        self.output = -1
        self._startup_failures = 0
        self._last_words = ""
        self.logs: Logs | None = None
        self._reason = ""
        self._resources = contextlib.ExitStack()

    def renew(self) -> ChildHandle:
        """Return the handle of another child, to take the place of this one."""
        rest = {"blocks": self._blocks, "secret": self._secret, "tracker": self._tracker, "renewal": self._renewal}
        program = self._program, self._packed
        return ChildHandle(self.number, self.name, self._fork_server, *program, self._memory, **rest)

    def resign(self) -> Lost:
        """Return the report of a child that has ended for want of memory."""
        assert self.resignation is not None
        limit = f"it had no memory left; its limit is {format_memory(self._memory)}"
        task = self.resignation.task if self.resignation.alone else None
        return Lost(self.number, WorkerLost(self.label, limit), task, logs=self.take_logs())

    def start(self) -> bool:
        """Start a child and send it the program; return `False` if some of it must wait, as `send` does."""
        self._check_startup()
        self._ready = self.is_due = False
        self.resignation: Resignation | None = None
        self._last_words = ""
        self._overdue: ProgressSnapshot | None = None
        blocks = self._blocks
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as given:
            ours, theirs = socket.socketpair()
            given.enter_context(theirs)
            stack.enter_context(ours)
            record = create_record_file()
            given.callback(os.close, record)
            self._record = SharedProgressRecord(record)
            stack.callback(self._record.close)
            self.output, output = os.pipe()
            stack.callback(os.close, self.output)
            given.callback(os.close, output)
            arena = None if blocks is None else blocks.descriptor
            others = {"arena": arena, "program": self._packed.file, "output": output, "tracker": self._tracker}
            self.pid = self._fork_server.spawn(theirs, record, **others)
            self.end = open_pidfd(self.pid)
            if self.end >= 0:
                stack.callback(os.close, self.end)
            self._resources = stack.pop_all()
        self.descriptors = (ours.fileno(), self.end) if self.end >= 0 else (ours.fileno(),)
        self.label = f"{self.name} pid {self.pid} on {socket.gethostname()}"
        ours.settimeout(0)
        self._socket = ours
        self._listener = OutputReader(self.output, self.label)
        self._reader = FrameReader(ours, blocks)
        self._writer = FrameWriter(ours, blocks)
        terms = () if blocks is None else (blocks.child_part(),)
        passport = Passport(self.name, os.getpid(), self._secret or find_secret(), self._renewal.above)
        self._writer.put((self.label, self._packed, self._memory, passport, *terms))
        return self.flush()

    def weigh(self, task: Task) -> None:
        """Note whether a task would be more items than the child is to have."""
        items = self.workload.items
        if items and items + count_items(task) > self._renewal.after:
            self.is_due = True

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
                outcome = Outcome.from_wire(message) if message[0] is not None else read_sealed(message)
                self.workload.take(outcome.task, gone=outcome.finished or bool(outcome.again))
                self._listener.finish()
                if self._held:
                    self._held.pop(outcome.task, None)
                if self.logs is not None:
                    outcome.logs = self.take_logs(outcome.logs)
                outcomes.append(outcome)
            elif type(message) is Logs:
                self.logs = message if self.logs is None else self.take_logs(message)
            elif message is None:
                self._ready = True
                self._startup_failures = 0
            elif message is RENEW:
                self.is_due = True
            elif type(message) is Resignation:
                self.is_due = True
                self.resignation = message
            else:
                self._last_words = message
        return outcomes

    def listen(self) -> bool:
        """Read once what is written to the child's standard output and error; return `False` when that is over."""
        more = self._listener.read(self.workload.locate(self._record.read(finished=True)))
        self._take_lines()
        return more

    def _take_lines(self) -> None:
        """Put the lines that are complete to what the child has sent."""
        lines = self._listener.take()
        if lines is not None:
            self.logs = lines if self.logs is None else self.take_logs(lines)

    def take_logs(self, last: Logs | None = None) -> Logs | None:
        """Return what the child has sent of prints and log messages and no outcome has taken along, and then `last`."""
        logs, self.logs = self.logs, None
        if logs is not None and last is not None:
            logs.add(last)
        return logs or last

    def reap(self) -> tuple[list[Outcome], Lost]:
        """See that the child is dead, and return the outcomes that it had still sent, and what is known of its end."""
        went = self._wait_dead(_DYING_S)
        self.kill()  # what it left in its group, if it went by itself
        self._wait_dead(ANSWER_S)
        progress = self._record.read()
        self._listener.read_all(self.workload.locate(progress))
        outcomes = self._drain()
        self._take_lines()
        self.close()
        pid, self.pid = self.pid, 0
        code = self._fork_server.reap(pid)
        reason = tell_end(code, self._memory) if went else "it closed its connection and did not end"
        if self._last_words:
            reason += f"\n{self._last_words.rstrip()}"
        lost = self._report(reason, progress)
        lost.logs = self.take_logs()
        self.workload.clear()
        if not self._ready:
            self._startup_failures += 1
        return outcomes, lost

    def kill(self) -> None:
        """Kill the child and what is in its process group; `descriptors` will tell of its end."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def hang_up(self) -> None:
        """Close the connection, which ends the child once it has finished what it is at; the fork server reaps it."""
        self.descriptors = ()
        self._held.clear()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # closing is not enough if a copy of this process was forked

    def hear_out(self) -> Logs | None:
        """Return all that the child has printed and nobody has heard yet."""
        self._listener.read_all(self.workload.locate(self._record.read(finished=True)))
        self._take_lines()
        return self.take_logs()

    def close(self) -> None:
        """Hang up, and let go of all that belongs to the child."""
        self.hang_up()
        self.output = -1
        self._resources.close()

    def progress(self) -> ProgressSnapshot:
        """Return what the child is at."""
        return self._record.read()

    def deadline(self) -> float | None:
        """Return when the child has to be looked at again, by `time.monotonic`; `None`: it is at nothing."""
        if not len(self.workload) or not self._shortest:
            return None
        timeout, end = self.workload.find_timeout(self._record.read())
        return end if timeout else time.monotonic() + self._shortest + MERCY_S

    def kill_overdue(self) -> None:
        """Kill the child if the item that it is at has had its time; `descriptors` will tell of its end."""
        progress = self._record.read()
        if time.monotonic() >= self.workload.find_timeout(progress)[1]:
            self._overdue = progress
            self.kill()

    def _check_startup(self) -> None:
        """Raise if the last child could not load the program, or if too many have died of something before."""
        if self._startup_failures and self._last_words:
            raise ShippingError(f"worker {self.label} cannot load the program:\n{self._last_words.rstrip()}")
        if self._startup_failures >= _FEW:
            raise PoolError(f"{_FEW} children in a row of worker {self.name} died before they were ready: {self._reason}")

    def _wait_dead(self, seconds: float) -> bool:
        """Return whether the child ends within `seconds`; without a pidfd its closed connection must do."""
        return self.end < 0 or _is_readable(self.end, seconds)

    def _drain(self) -> list[Outcome]:
        """Return the outcomes that lie in the socket of a dead child."""
        outcomes: list[Outcome] = []
        with contextlib.suppress(EOFError, OSError):
            while _is_readable(self._socket.fileno(), 0):
                outcomes += self.read()
        return outcomes

    def _report(self, reason: str, progress: ProgressSnapshot) -> Lost:
        """Return what is known of the child's end."""
        resource = self.workload.name_resource(progress)
        if resource:
            reason += f", while it made the resource {resource!r}"
        self._reason = reason
        lost = Lost(self.number, WorkerLost(self.label, reason))
        if self._overdue is not None:
            timeout, _ = self.workload.find_timeout(self._overdue)
            lost.error = ItemTimeout(timeout, self.label, "replaced")
            if progress != self._overdue:  # it had just come to an end
                return lost
        self.workload.blame(lost, progress)
        return lost


def _is_readable(descriptor: int, seconds: float) -> bool:
    """Wait for a descriptor to become readable, at most `seconds`."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
