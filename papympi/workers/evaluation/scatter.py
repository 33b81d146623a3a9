"""A scatter on its worker: one generator after the other, over parents in order, advanced by chunks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice
from typing import Any, Final

from papympi.errors import PoolError, StateError
from papympi.model.item import DROP
from papympi.transport.task import KeyRun, Outcome
from papympi.workers.evaluation.alarm import NS, call_timed
from papympi.workers.evaluation.attempt import Steps, drive
from papympi.workers.evaluation.calls import Calls
from papympi.workers.evaluation.careful import heal_withheld
from papympi.workers.evaluation.columns import Column, key_at
from papympi.workers.evaluation.progress import CHILD, NODE, NOTHING

_END: Final = object()


class SuspendedScatter:
    """The generators of one START, from its first parent to its last.

    Between two tasks it stands still and holds no worker; `resume` gives it to the next one.

    Attributes:
        calls: of the task that it was last advanced in.
        runs: where the children of the last chunk are: (position of the parent, number of the first, how many).
    """

    def __init__(self, calls: Calls, function: Callable[..., Any], columns: list[Column]) -> None:
        task = calls.task
        self.calls = calls
        self.runs: list[tuple[int, int, int]] = []
        self._call = calls.stage.calls[calls.number]
        self._function = function
        self._arguments = calls.bind(self._call, columns)
        self._culprits = calls.culprits_of(self._call)
        self._key_of_parent = calls.key_of
        self._count = task.count
        self._whole = 0 if task.careful or not task.whole else task.whole + task.skip
        self._is_probe = task.careful and task.whole > 0
        self._skip = self._child = task.skip  # of the parent at work, those skipped included
        self._parent = self._passed = 0
        self._attempts = calls.attempts
        self._children: Iterator[Any] | None = None

    def resume(self, calls: Calls) -> None:
        """Go on in another task, maybe of another worker."""
        self.calls = calls
        calls.key_of = self._key_of_parent
        calls.attempts = self._attempts

    def advance(self, outcome: Outcome, chunk: int) -> Steps[list[Any]]:
        """Return at most `chunk` more children; all there are if the task said to run to the end."""
        children: list[Any] = []
        self.runs = runs = []
        self._passed = 0
        while self._parent < self._count and not self.calls.again:
            room = self._whole + 1 - self._child if self._whole else chunk - len(children)
            if room <= 0 and self._arguments.present >> self._parent & 1:
                break
            before, child = len(children), self._child
            finished = yield from self._advance_parent(children, room)
            made = len(children) - before
            if made:
                runs.append((self._parent, child, made))
            if finished and not self.calls.again:
                outcome.counts.append(made)
                self._parent, self._child, self._skip, self._children = self._parent + 1, 0, 0, None
        outcome.finished = self._parent == self._count
        if self._is_probe and not self.calls.again:
            yield from self.closing()
        self.calls.calls[self.calls.number] += len(children) - self._passed
        self.calls.key_of = partial(key_at, self.list_keys())
        return children

    def list_keys(self) -> list[KeyRun]:
        """Return the keys of the children of the last chunk."""
        return [(self._key_of_parent(parent), first, made) for parent, first, made in self.runs]

    def close(self) -> None:
        """Close the generator at which it stands."""
        drive(self.closing(), self.calls.worker.attempt)

    def closing(self) -> Steps[None]:
        """Do the same in steps."""
        if self._children is not None:
            yield close_children, self._children

    def _advance_parent(self, children: list[Any], room: int) -> Steps[bool]:
        """Add at most `room` children of the parent at work; return whether it has no more."""
        parent, arguments = self._parent, self._arguments
        if not arguments.present >> parent & 1:
            return True
        if arguments.failed >> parent & 1:
            failure = arguments.first_failure(parent)
            if self._call.on_error != "drop" or not self.calls.may_drop(self._call, parent, failure):
                children.append(heal_withheld(self.calls, self.calls.number, parent, failure))
                self._passed += 1
            return True
        return (yield from self._extend(children, room))

    def _extend(self, children: list[Any], room: int) -> Steps[bool]:
        parent, worker = self._parent, self.calls.worker
        culprit = min((child for at, child in self._culprits if at == parent), default=sys.maxsize)
        worker.progress.at_child(self.calls.number, parent, self._child)
        if self._children is None and culprit > self._child:
            error = yield from self._begin()
            if error is not None:
                return self._fail(children, error)
        limit, before = min(room, culprit - self._child), len(children)
        error = yield from self._take(limit, children)
        taken = len(children) - before
        self._child += taken
        if error is not None:
            return self._fail(children, error)
        if taken < limit:
            return True
        return False if taken == room and not self._whole else (yield from self._stop(children, culprit))

    def _take(self, limit: int, children: list[Any]) -> Steps[BaseException | None]:
        """Add at most `limit` children of the parent at work; return what the generator raised."""
        return None if self._children is None else (yield from self._draw(limit, children.append))

    def _draw(self, limit: int, put: Callable[[Any], Any]) -> Steps[BaseException | None]:
        """Give at most `limit` children to `put`; return what the generator raised."""
        slots, timeout = self.calls.worker.progress.slots, self._call.timeout
        if slots[NODE] == NOTHING:  # the task has done other things meanwhile
            self.calls.worker.progress.at(self.calls.number, self._parent)
        if not timeout:
            return (yield take, self._children, limit, put, slots)[1]
        with self.calls.worker.alarm(timeout):
            return (yield take_timed, self._children, limit, put, slots, round(timeout * NS))[1]

    def _stop(self, children: list[Any], culprit: int) -> Steps[bool]:
        """End the parent at work if it must not go on, although there may be more; return whether it ended."""
        if self._child == culprit:
            yield from self.closing()
            self.calls.worker.progress.at_child(self.calls.number, self._parent, self._child)
            failure = self._culprits[self._parent, culprit]
            failure = self.calls.complete(self._call, failure, self._arguments.given(self._parent))
            return self._end(children, self.calls.settle(self._call, failure))
        if self._whole and self._child > self._whole:
            yield from self.closing()
            children.pop()
            return self._fail(
                children,
                PoolError(
                    f"node {self._call.node!r} made more than {self._whole} children of one item, and its pool cannot "
                    "hold a generator between two tasks; use a pool that streams (inline, threads, processes, mpi) "
                    "or a larger admission"
                ),
            )
        return False

    def _begin(self) -> Steps[BaseException | None]:
        """Start the generator of the parent at work and pass over the children that were delivered before."""
        resources, error = self.calls.take_resources(self._call)
        if error is not None:
            return error
        row = next(iter(self._arguments.rows([self._parent], resources)))
        self._children, error = yield open_children, self._function, row
        if error is None and self._skip:
            self.calls.worker.progress.slots[CHILD] = 0
            passed = count()
            error = yield from self._draw(self._skip, lambda _: next(passed))
            made = next(passed)
            if error is None and made < self._skip:
                return StateError(
                    f"node {self._call.node!r} is not deterministic: begun again after a lost worker, its generator "
                    f"made {made} children, but {self._skip} had been delivered before"
                )
        return error

    def _fail(self, children: list[Any], error: BaseException) -> bool:
        """End the parent at work with a failure as its last child."""
        given = self._arguments.given(self._parent)
        self.calls.worker.progress.at_child(self.calls.number, self._parent, self._child)
        last = self.calls.fail_call(self._call, self._parent, error, given)
        return True if self.calls.again else self._end(children, last)

    def _end(self, children: list[Any], last: Any) -> bool:
        if last is not DROP:
            children.append(last)
        return True


def open_children(function: Callable[..., Any], row: tuple[Any, ...]) -> Iterator[Any]:
    """Return what a generator function makes of a row of arguments."""
    return iter(function(*row))


def close_children(children: Any) -> None:
    """Close what can be closed."""
    close = getattr(children, "close", None)
    if close is not None:
        close()


def take(iterator: Iterator[Any], count: int, put: Callable[[Any], Any], slots: memoryview[int]) -> None:
    """Give at most so many children to `put`."""
    for made, child in enumerate(islice(iterator, count), slots[CHILD] + 1):
        put(child)
        slots[CHILD] = made


def take_timed(
    iterator: Iterator[Any], count: int, put: Callable[[Any], Any], slots: memoryview[int], limit_ns: int
) -> None:
    """Do the same; each child has so many nanoseconds."""
    for _ in range(count):
        child = call_timed(next, (iterator, _END), slots, limit_ns)
        if child is _END:
            return
        put(child)
        slots[CHILD] += 1
