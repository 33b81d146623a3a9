"""Supervises several children without threads: their sockets in one selector, the dead ones replaced."""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Sequence
from typing import Final

from papympi.plan.program import Program
from papympi.transport.arena import Arena, open_arena
from papympi.transport.lending import ParentAllocator
from papympi.transport.packed import Packed, PackedFile
from papympi.transport.records import Logs
from papympi.transport.task import Lost, Outcome, Task
from papympi.workers.children.citizen import ChildTerms, TrackerRelay
from papympi.workers.children.client import ForkServerClient
from papympi.workers.children.departures import Departures
from papympi.workers.children.handle import ChildHandle
from papympi.workers.children.renewal import NEVER, Renewal
from papympi.workers.children.stalls import StallWatch
from papympi.workers.evaluation.alarm import find_shortest_timeout
from papympi.workers.evaluation.recorder import show

_READ: Final = selectors.EVENT_READ
_BOTH: Final = selectors.EVENT_READ | selectors.EVENT_WRITE
_GRACE_S: Final = 5.0
"""How long `close` waits for children to finish what they are at."""


class Supervisor:
    """The children of one pool on this host, numbered from 0.

    Args:
        fork_server: the fork server that they come from, started by `start` and ended with them.
        names: how messages name each of them, e.g. `processes[3]`.
        memory: how many bytes each may allocate; 0: as many as there are.
        lasting: the fork server outlives them, for others to come.
        shared: how many bytes of shared memory big buffers may take; 0: they travel through the sockets.
        renewal: when another child takes the place of one.
    """

    def __init__(
        self,
        fork_server: ForkServerClient,
        names: Sequence[str],
        memory: int = 0,
        *,
        lasting: bool = False,
        shared: int = 0,
        renewal: Renewal = NEVER,
    ) -> None:
        self._fork_server = fork_server
        self._lasting = lasting
        self._names = names
        self._memory = memory
        self._shared = shared
        self._arena: Arena | None = None
        self._packed: Packed | None = None
        self._relay: TrackerRelay | None = None
        self._children: list[ChildHandle] = []
        self._selector: selectors.DefaultSelector | None = None
        self._waiting: set[ChildHandle] = set()
        self._timed = self._halted = False
        self._stalls = StallWatch()
        self._talking: set[ChildHandle] = set()
        self._renewal = renewal
        self._kept: dict[int, list[Task]] = {}
        self._leaving: Departures | None = None

    def start(self, program: Program, packed: Packed, secret: bytes = b"") -> None:
        """Start a child under each name, from a fork server that runs. `secret` is the caller's; default: its own."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.kill)
            self._selector = selectors.DefaultSelector()
            self._timed = find_shortest_timeout(program) > 0
            self._leaving = Departures(self._selector, _GRACE_S)
            self._packed = packed.store()
            self._arena = open_arena(self._shared, len(self._names))
            self._relay = TrackerRelay()
            self._selector.register(self._relay.descriptor, _READ, self._relay)
            terms = ChildTerms(self._memory, secret, self._relay.writer, self._renewal)
            for number, name in enumerate(self._names):
                blocks = None if self._arena is None else ParentAllocator(self._arena, number)
                child = ChildHandle(number, name, self._fork_server, program, self._packed, terms, blocks=blocks)
                self._start(child)
                self._children.append(child)
            stack.pop_all()

    def find_program(self) -> PackedFile | None:
        """Return where other processes of this host find the packed program; `None`: nowhere."""
        return None if self._packed is None else self._packed.find_file()

    def submit(self, worker: int, task: Task) -> None:
        """Send a task to a child; what its socket does not take now is sent by `collect`."""
        child = self._children[worker]
        if self._renewal.after:
            child.weigh(task)
        if child.is_due and child.workload.may_wait(task):
            self._kept.setdefault(worker, []).append(task)
            if not len(child.workload):
                self._renew(child)
        elif not child.send(task) and child not in self._waiting:
            self._await_room(child)

    def collect(self) -> list[Outcome | Lost | Logs]:
        """Return what has come home, what was printed meanwhile, and the children that were lost and replaced."""
        if self._selector is None:
            return []
        self._kill_late()
        dead: dict[ChildHandle, None] = {}
        news: list[Outcome | Lost | Logs] = []
        for key, events in self._selector.select(0):
            try:
                news += self._take(key, events)
            except (EOFError, OSError):
                dead[key.data] = None
        for child in dead:
            news += self._replace(child)
        return [*news, *self._take_logs()] if self._talking or self._leaving else news

    def withdraw(self) -> None:
        """Let the children begin nothing more, and those that take their places."""
        self._halted = True
        for child in self._children:
            child.halt()

    def _take(self, key: selectors.SelectorKey, events: int) -> Sequence[Outcome | Lost | Logs]:
        """Return what has come through one descriptor, and send what has waited for room there."""
        if key.data is self._relay:
            self._relay.forward()
            return ()
        news = self._read(key.data, key.fd) if events & _READ else ()
        if events & selectors.EVENT_WRITE:
            self._flush(key.data)
        return news

    def _flush(self, child: ChildHandle) -> None:
        """Send a child what has waited for room."""
        assert self._selector is not None
        if child in self._waiting and child.flush():
            self._selector.modify(child.descriptors[0], _READ, child)
            self._waiting.discard(child)

    def _take_logs(self) -> list[Logs]:
        """Return what children have printed and logged since; what is not taken comes with their next outcome."""
        found = [logs for child in self._talking if (logs := child.said.take()) is not None]
        self._talking.clear()
        return [*found, *self._leaving.bury_overdue()] if self._leaving else found

    def _read(self, child: ChildHandle, descriptor: int) -> list[Outcome | Lost | Logs]:
        """Return what a child has sent; raise if it has ended. One that is due is replaced."""
        outcomes: list[Outcome | Lost | Logs] = []
        if descriptor == child.output:
            if not child.listen():
                self._unwatch_output(child)
        elif descriptor in child.descriptors[:1]:
            outcomes += child.read()
        else:
            raise EOFError
        if outcomes:
            self._stalls.end(child.number)
        if child.said.logs is not None:
            self._talking.add(child)
        return outcomes + self._renew(child) if child.is_due else outcomes

    def take_room(self, size: int) -> memoryview | None:
        """Return shared memory for a big buffer of a task, which is then not copied; `None`: there is no room."""
        return None if self._arena is None else self._arena.take(size)

    def fileno(self) -> int | None:
        """Return a descriptor that is readable when `collect` has something to do; `None` before the start."""
        return None if self._selector is None else self._selector.fileno()

    def deadline(self) -> float | None:
        """Return when `collect` has to look after a child's time-out, by `time.monotonic`."""
        found = [self._stalls.deadline(), *(child.deadline() for child in self._children if self._timed)]
        return min((deadline for deadline in found if deadline is not None), default=None)

    def close(self, grace: float = _GRACE_S) -> None:
        """End the children once they have finished what they are at; those that take too long are killed."""
        self._end(grace)

    def kill(self) -> None:
        """Kill the children and whatever they have started, and wait until it is gone."""
        self._end(0)

    def _end(self, grace: float) -> None:
        """End children, server and all that belongs to them; a lasting server stays."""
        orphaned = not self._fork_server.is_alive()  # then nobody else ends what the children had started
        leaving = [*([] if self._leaving is None else self._leaving.take_all()), *self._children]
        for child in self._children:
            self._forget(child)
            child.hang_up()
        self._children.clear()
        for child in leaving if orphaned else ():
            child.kill()
        if self._lasting:
            self._fork_server.clear(grace)
        else:
            self._fork_server.end(grace)
        for child in leaving:
            child.hear_out()
            logs = child.said.take()
            child.close()
            if logs is not None:
                show(logs)
        self._kept.clear()
        self._let_go()

    def _let_go(self) -> None:
        """Close what belonged to the children."""
        for owned in (self._arena, self._packed, self._relay, self._selector):
            if owned is not None:
                owned.close()
        self._arena = self._packed = self._relay = self._selector = None

    def _kill_late(self) -> None:
        """Kill children whose item has had its time, and those that wait for a thread in vain."""
        for number in self._stalls.find_stalled():
            self._fork_server.stop_forking()
            self._children[number].give_up()
        now = time.monotonic()
        for child in self._children if self._timed else ():
            deadline = child.deadline()
            if deadline is not None and now >= deadline:
                child.kill_overdue()

    def _start(self, child: ChildHandle) -> None:
        """Start a child and watch it."""
        assert self._selector is not None
        written = child.start()
        if self._halted:
            child.halt()
        if self._fork_server.watched:
            self._stalls.begin(child.number, child.pid)
        for descriptor in (*child.descriptors, child.output):
            self._selector.register(descriptor, _READ, child)
        if not written:
            self._await_room(child)

    def _await_room(self, child: ChildHandle) -> None:
        """Watch for a child's socket to become writable."""
        assert self._selector is not None
        self._waiting.add(child)
        self._selector.modify(child.descriptors[0], _BOTH, child)

    def _replace(self, child: ChildHandle) -> list[Outcome | Lost | Logs]:
        """Put a fresh child in the place of a dead one; return what that had sent, and how it ended."""
        assert self._leaving is not None
        if child in self._leaving:
            return [*self._leaving.bury(child)]
        self._kept.pop(child.number, None)
        self._forget(child)
        self._stalls.end(child.number)
        outcomes, lost = child.reap()
        with contextlib.ExitStack() as stack:
            if lost.logs is not None:
                stack.callback(show, lost.logs)  # nobody else will, if there is no other child to be had
            self._start(child)
            stack.pop_all()
        return [*outcomes, lost]

    def _renew(self, child: ChildHandle) -> list[Outcome | Lost | Logs]:
        """Put another in the place of a child that is due for it, if it has nothing at hand, or has resigned."""
        assert self._leaving is not None
        if child in self._leaving:
            return []
        number = child.number
        if child.resignation is None and (len(child.workload) or child.workload.generators):
            for task in self._kept.pop(number, ()) if child.workload.generators else ():
                self.submit(number, task)
            return []
        self._waiting.discard(child)
        self._leaving.add(child)
        fresh = child.renew()
        self._start(fresh)
        self._children[number] = fresh
        if child.resignation is not None:
            self._kept.pop(number, ())
            return [child.resign()]
        for task in self._kept.pop(number, ()):
            self.submit(number, task)
        return []

    def _forget(self, child: ChildHandle) -> None:
        """Stop watching a child."""
        assert self._selector is not None
        self._waiting.discard(child)
        for descriptor in child.descriptors:
            self._selector.unregister(descriptor)
        self._unwatch_output(child)

    def _unwatch_output(self, child: ChildHandle) -> None:
        """Stop watching what is written to a child's standard output and error."""
        assert self._selector is not None
        with contextlib.suppress(KeyError, ValueError):  # it had come to its end
            self._selector.unregister(child.output)
