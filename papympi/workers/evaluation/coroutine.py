"""One call of an async function, and the end of an event loop that has made such calls."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Final

from papympi.workers.evaluation.alarm import Overdue
from papympi.workers.evaluation.resources import Attempt
from papympi.workers.evaluation.steps import Tried

if TYPE_CHECKING:
    import asyncio

MERCY_S: Final = 0.5
"""How long an item that was cancelled at its time-out may take to end."""
_GRACE_S: Final = 3.0
"""How long what is left in a loop may take to end."""
_LATE_S: Final = 0.005
"""A loop is late if a timer goes off so much after its time."""


class Item(Coroutine[Any, Any, Tried]):
    """The call of an async function, as a coroutine that returns (result, error) and never raises.

    So whatever the function raises stays out of the event loop, which would be ended by `SystemExit`.

    Args:
        attempt: calls a function and returns (result, error).
        function: returns something that can be awaited.
        row: its arguments.

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

    def limit(
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


def forget_loop(loop: asyncio.AbstractEventLoop, attempt: Attempt) -> None:
    """Close what is left in a loop whose selector is closed already, and the loop; nothing can be awaited any more."""
    import asyncio

    loop.set_exception_handler(lambda _loop, _context: None)
    for task in asyncio.all_tasks(loop):
        coroutine = task.get_coro()
        attempt(coroutine.close)
    attempt(asyncio.BaseEventLoop.close, loop)


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
