"""A scatter on its worker: one generator after the other, over parents in order, advanced by chunks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Final

from papympi.errors import PoolError, StateError
from papympi.model.item import DROP
from papympi.transport.task import KeyRun, Outcome
from papympi.workers.alarm import NS, Alarm
from papympi.workers.apply import call_timed
from papympi.workers.calls import Calls
from papympi.workers.columns import key_at

_END: Final = object()


class Suspended:
    """The generators of one START, from its first parent to its last.

    Between two tasks it stands still and holds no worker; `resume` gives it to the next one.
    """

    def __init__(self, calls: Calls, function: Callable[..., Any]) -> None:
        task = calls.task
        self._calls = calls
        self._call = calls.stage.calls[0]
        self._function = function
        self._arguments = calls.bind(self._call, calls.load())
        self._culprits = calls.culprits_of(self._call)
        self._key_of_parent = calls.key_of
        self._count = task.count
        self._whole = task.whole
        self._skip = task.skip
        self._parent = 0
        self._child = 0  # of the parent at work, those skipped included
        self._attempts = calls.attempts
        self._children: Iterator[Any] | None = None

    def resume(self, calls: Calls) -> None:
        """Go on in another task, maybe of another worker."""
        self._calls = calls
        calls.key_of = self._key_of_parent
        calls.attempts = self._attempts

    def advance(self, outcome: Outcome, chunk: int) -> list[Any]:
        """Return at most `chunk` more children; all there are if the task said to run to the end."""
        children: list[Any] = []
        runs: list[KeyRun] = []
        while self._parent < self._count and not self._calls.again:
            room = self._whole + 1 - self._child if self._whole else chunk - len(children)
            if room <= 0 and self._arguments.present >> self._parent & 1:
                break
            before, child = len(children), self._child
            finished = self._advance_parent(children, room)
            made = len(children) - before
            if made:
                runs.append((self._key_of_parent(self._parent), child, made))
            if finished and not self._calls.again:
                outcome.counts.append(made)
                self._parent, self._child, self._skip, self._children = self._parent + 1, 0, 0, None
        outcome.finished = self._parent == self._count
        self._calls.calls[0] += len(children)
        self._calls.key_of = partial(key_at, runs)
        return children

    def close(self) -> None:
        """Close the generator at which it stands."""
        close = getattr(self._children, "close", None)
        if close is not None:
            self._calls.bench.attempt(close)

    def _advance_parent(self, children: list[Any], room: int) -> bool:
        """Add at most `room` children of the parent at work; return whether it has no more."""
        parent, arguments = self._parent, self._arguments
        if not arguments.present >> parent & 1:
            return True
        if arguments.failed >> parent & 1:
            if self._call.on_error != "drop":
                children.append(arguments.first_failure(parent))
            return True
        return self._extend(children, room)

    def _extend(self, children: list[Any], room: int) -> bool:
        parent, bench = self._parent, self._calls.bench
        culprit = min((child for at, child in self._culprits if at == parent), default=sys.maxsize)
        bench.cell.at(0, parent)
        if self._children is None and culprit > 0:
            _, error = bench.attempt(self._begin)
            if error is not None:
                return self._fail(children, error)
        limit, before = min(room, culprit - self._child), len(children)
        error = self._take(limit, children)
        self._child += len(children) - before
        if error is not None:
            return self._fail(children, error)
        if len(children) - before < limit:
            return True
        return self._stop(children, culprit)

    def _take(self, limit: int, children: list[Any]) -> BaseException | None:
        """Add at most `limit` children of the parent at work; return what the generator raised."""
        iterator, bench, timeout = self._children or iter(()), self._calls.bench, self._call.timeout
        if not timeout:
            return bench.attempt(_take, iterator, limit, children.append)[1]
        with Alarm(bench.cell.slots, timeout):
            bound = round(timeout * NS)
            return bench.attempt(_take_timed, iterator, limit, children.append, bench.cell.slots, bound)[1]

    def _stop(self, children: list[Any], culprit: int) -> bool:
        """End the parent at work if it must not go on, although there may be more; return whether it ended."""
        if self._child == culprit:
            self.close()
            failure = self._culprits[self._parent, culprit]
            failure = self._calls.complete(failure, self._arguments.given(self._parent))
            return self._end(children, self._calls.settle(self._call, failure))
        if self._whole and self._child > self._whole:
            self.close()
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

    def _begin(self) -> None:
        """Start the generator of the parent at work and pass over the children that were delivered before."""
        resources, error = self._calls.take_resources(self._call)
        if error is not None:
            raise error
        row = next(iter(self._arguments.rows([self._parent], resources)))
        self._children = iter(self._function(*row))
        for passed in range(self._skip):
            if next(self._children, _END) is _END:
                raise StateError(
                    f"node {self._call.node!r} is not deterministic: begun again after a lost worker, its generator "
                    f"made {passed} children, but {self._skip} had been delivered before"
                )
        self._child = self._skip

    def _fail(self, children: list[Any], error: BaseException) -> bool:
        """End the parent at work with a failure as its last child."""
        given = self._arguments.given(self._parent)
        last = self._calls.fail_call(self._call, self._parent, error, given)
        return True if self._calls.again else self._end(children, last)

    def _end(self, children: list[Any], last: Any) -> bool:
        if last is not DROP:
            children.append(last)
        return True


def _take(iterator: Iterator[Any], count: int, put: Callable[[Any], None]) -> None:
    for child in islice(iterator, count):
        put(child)


def _take_timed(
    iterator: Iterator[Any], count: int, put: Callable[[Any], None], slots: memoryview[int], limit_ns: int
) -> None:
    for _ in range(count):
        child = call_timed(next, (iterator, _END), slots, limit_ns)
        if child is _END:
            return
        put(child)
