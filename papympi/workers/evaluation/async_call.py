"""Calls of async functions: one, many that wait at the same time in one event loop, and the end of such a loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from papympi.workers.evaluation.alarm import MERCY_S, NS, Overdue, standstill
from papympi.workers.evaluation.attempt import Attempt, Job, Tried
from papympi.workers.evaluation.calls import Calls
from papympi.workers.evaluation.location import FixedLocation, enter
from papympi.workers.evaluation.progress import BEGUN, CHILD, COUNT, INDEX, NODE, NOTHING, TASK

if TYPE_CHECKING:
    import asyncio

_GRACE_S: Final = 3.0
"""How long what is left in a loop may take to end."""
_LATE_S: Final = 0.005
"""A loop is late if a timer goes off so much after its time."""


class AsyncCall(Coroutine[Any, Any, Tried]):
    """The call of an async function, as a coroutine that returns (result, error) and never raises.

    So whatever the function raises stays out of the event loop, which would be ended by `SystemExit`.

    Args:
        function: returns something that can be awaited.

    Attributes:
        expired: it took too long.
        timer: goes off when it does.
    """

    __slots__ = ("_arm", "_attempt", "_call", "_inner", "expired", "timer")

    def __init__(self, attempt: Attempt, function: Callable[..., Any], row: tuple[Any, ...]) -> None:
        self._attempt = attempt
        self._call = (function, row)
        self._inner: Any = None
        self._arm: Callable[[], None] | None = None
        self.expired = False
        self.timer: asyncio.TimerHandle | None = None

    def send(self, value: Any, /) -> Any:
        """Go on until the function waits for something, and return that."""
        if self._inner is None:
            if self._arm is not None:
                self._arm()
            self._inner, error = self._attempt(_begin, *self._call)
            if error is not None:
                raise StopIteration((None, error))
        return self._step(self._inner.send, value)

    def throw(self, kind: Any, value: Any = None, trace: Any = None, /) -> Any:  # noqa: ARG002 - inherited
        """Go on with an exception where the function waits; it is not begun for that."""
        error = kind if value is None else value
        if self._inner is None:
            raise StopIteration((None, Overdue() if self.expired else error))
        return self._step(self._inner.throw, error)

    def close(self) -> None:
        """Close the function where it waits."""
        if self._inner is not None:
            self._attempt(self._inner.close)

    def __getattr__(self, name: str) -> Any:
        """Return what is asked of coroutines: whether they run (anyio looks), where they stand."""
        if not name.startswith("cr_"):
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __await__(self) -> Generator[Any, Any, Tried]:
        raise TypeError("it is for tasks only")

    def _step(self, advance: Callable[[Any], Any], value: Any) -> Any:
        yielded, error = self._attempt(advance, value)
        if error is None:
            return yielded
        if type(error) is StopIteration:
            raise StopIteration((error.value, None))
        if self.expired:
            error = Overdue().with_traceback(error.__traceback__)
        raise StopIteration((None, error))

    def cancel_after(
        self, task: asyncio.Task[Tried], seconds: float, then: Callable[[asyncio.AbstractEventLoop], None] | None = None
    ) -> None:
        """Have the item's task cancelled, and `then` called, if it takes longer than so many seconds once it has begun.

        If the loop was late itself, since something has blocked it, the item gets that time in addition.
        """
        loop = task.get_loop()

        def arm() -> None:
            due = loop.time() + seconds
            self.timer = loop.call_at(due, lambda: expire(loop.time() - due))

        def expire(late_s: float) -> None:
            if late_s > _LATE_S:
                self.timer = loop.call_later(late_s, expire, 0.0)
                return
            self.expired = True
            task.cancel()
            if then is not None:
                then(loop)

        self._arm = arm

    def disarm(self) -> None:
        """Let it take as long as it likes."""
        if self.timer is not None:
            self.timer.cancel()


def end_loop(
    loop: asyncio.AbstractEventLoop, attempt: Attempt, clean_up: Callable[[], Coroutine[Any, Any, None]] | None = None
) -> None:
    """Cancel what is left in a loop that stands, clean up, and close the loop; what takes too long is left."""
    import asyncio

    _cancel_tasks(loop, attempt)
    for last in (clean_up, loop.shutdown_asyncgens):
        if last is not None:
            attempt(loop.run_until_complete, asyncio.wait_for(last(), _GRACE_S))
    _cancel_tasks(loop, attempt)
    loop.set_exception_handler(lambda _loop, _context: None)  # what does not end has been asked to
    loop.close()


def _cancel_tasks(loop: asyncio.AbstractEventLoop, attempt: Attempt) -> None:
    import asyncio

    end = loop.time() + _GRACE_S
    while (tasks := asyncio.all_tasks(loop)) and (left := end - loop.time()) > 0:
        for task in tasks:
            task.cancel()
        attempt(loop.run_until_complete, asyncio.wait(tasks, timeout=left))


def _begin(function: Callable[..., Any], row: tuple[Any, ...]) -> Any:
    """Return what has `send` and `throw`."""
    made = function(*row)
    return made if hasattr(made, "send") else made.__await__()


class CallPlace(NamedTuple):
    """Which items a call is for: the calls of their task, its number among them, the first position, how many.

    Of the next child of a generator also the child's number.
    """

    calls: Calls
    node: int
    position: int
    items: int
    child: int = 0


class AsyncLimit:
    """How many calls may wait at the same time in one loop.

    Attributes:
        slots: of the progress record that says what keeps the loop.
        places: one for each call that may wait.
        closed: the loop was given up: calls go on only to clean up.
        tasks: those of the calls, which the loop holds only weakly.
    """

    def __init__(self, attempt: Attempt, slots: memoryview[int], size: int) -> None:
        import asyncio

        self.attempt = attempt
        self.slots = slots
        self.places = asyncio.Semaphore(size)
        self.closed = False
        self.tasks: set[asyncio.Task[Tried]] = set()


class CallGroup:
    """Calls of one batch that are awaited at the same time.

    Attributes:
        tried: what came of each, by first position and number of items.
    """

    def __init__(self) -> None:
        self.tried: dict[tuple[int, int], Tried] = {}
        self._waiting = 0
        self._all_home: asyncio.Future[None] | None = None

    async def admit(
        self, limit: AsyncLimit, place: CallPlace, job: Job, timeout: float = 0.0, context: Context | None = None
    ) -> None:
        """Begin a call once there is room for it; it has so many seconds, 0: any number."""
        await limit.places.acquire()
        self._waiting += 1
        _GroupedCall(limit, place, job, timeout, self._take_home).begin(context)

    async def wait(self) -> None:
        """Wait until something has come of every call."""
        import asyncio

        while self._waiting:
            self._all_home = asyncio.get_running_loop().create_future()
            await self._all_home

    def _take_home(self, place: CallPlace, tried: Tried) -> None:
        self.tried[place.position, place.items] = tried
        self._waiting -= 1
        if not self._waiting and self._all_home is not None and not self._all_home.done():
            self._all_home.set_result(None)


class _GroupedCall(AsyncCall):
    """A call among others: its progress record says when it keeps the loop, and it brings home what comes of it."""

    __slots__ = ("_limit", "_limit_ns", "_mercy", "_place", "_take_home", "_timeout", "_told")

    def __init__(
        self,
        limit: AsyncLimit,
        place: CallPlace,
        job: Job,
        timeout: float,
        take_home: Callable[[CallPlace, Tried], None],
    ) -> None:
        super().__init__(limit.attempt, job[0], job[1:])
        self._limit = limit
        self._place = place
        self._timeout = timeout
        self._limit_ns = round(timeout * NS)
        self._told = False  # to come to an end
        self._take_home: Callable[[CallPlace, Tried], None] | None = take_home
        self._mercy: asyncio.TimerHandle | None = None

    def begin(self, context: Context | None) -> None:
        """Let the loop run the call."""
        import asyncio

        task = asyncio.get_running_loop().create_task(self, context=context)
        self._limit.tasks.add(task)
        if self._timeout:
            self.cancel_after(task, self._timeout, self._wait_no_longer)
        task.add_done_callback(self._end)

    def send(self, value: Any, /) -> Any:
        """Go on until the function waits for something, and return that; not in a loop that is to be left."""
        if self._limit.closed and not self._told:
            return None
        if self._inner is None and self._place.items == 1:
            calls, node, position, *_ = self._place
            outside = calls.worker.outside  # what it prints and starts belongs to the item, in the context of its task
            enter(FixedLocation(outside.recorder, outside.seed, calls.stage.calls[node].node, calls.key_of(position)))
        return self._watch(super().send, value)

    def throw(self, kind: Any, value: Any = None, trace: Any = None, /) -> Any:  # noqa: ARG002 - inherited
        """Go on with an exception where the function waits."""
        self._told = True
        return self._watch(super().throw, kind if value is None else value)

    def _watch(self, advance: Callable[[Any], Any], value: Any) -> Any:
        slots, limit_ns, begun = self._limit.slots, self._limit_ns, time.monotonic_ns()
        calls, slots[NODE], slots[INDEX], slots[COUNT], slots[CHILD] = self._place
        slots[BEGUN] = begun if limit_ns else NOTHING
        slots[TASK] = calls.task.id
        try:
            return advance(value)
        finally:
            slots[TASK] = slots[BEGUN] = NOTHING
            if limit_ns and time.monotonic_ns() - begun > limit_ns and not standstill.excuses(begun, limit_ns):
                self.expired = True

    def _wait_no_longer(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give a call that was cancelled a moment to end."""
        self._mercy = loop.call_later(MERCY_S, self._leave, (None, Overdue()))

    def _end(self, task: asyncio.Task[Tried]) -> None:
        self._limit.tasks.discard(task)
        tried, error = self._limit.attempt(task.result)
        if error is not None:  # it has cancelled itself and not waited for anything
            tried = None, error
        elif tried[1] is None and self.expired:
            tried = None, Overdue()
        self._leave(tried)

    def _leave(self, tried: Tried) -> None:
        self.disarm()
        if self._mercy is not None:
            self._mercy.cancel()
        take_home, self._take_home = self._take_home, None
        if take_home is not None:
            self._limit.places.release()
            take_home(self._place, tried)
