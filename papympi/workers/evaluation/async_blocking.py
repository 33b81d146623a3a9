"""Async functions for those who call one function at a time: a loop of their own runs each call to its end."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from papympi.plan.program import Call
from papympi.workers.evaluation.alarm import MERCY_S, NS
from papympi.workers.evaluation.async_call import AsyncCall, end_loop
from papympi.workers.evaluation.attempt import Attempt, Tried, attempt
from papympi.workers.evaluation.progress import BEGUN, COUNT, NOTHING

if TYPE_CHECKING:
    import asyncio

END: Final = object()
"""What `take_next` returns when there is no more."""
_HEAD_START_NS: Final = NS // 10
"""So much later than the loop an alarm rings: what waits in a loop is better cancelled there."""


class CallLoop:
    """An event loop that runs one call at a time, in whichever thread asks for it."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Tried] | None = None
        self._interrupted = False

    def call(
        self,
        function: Callable[..., Any],
        row: tuple[Any, ...],
        timeout: float = 0.0,
        context: contextvars.Context | None = None,
    ) -> Any:
        """Return what an async function returns, or raise what it raises; it has so many seconds, 0: any number."""
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        loop, item = self._loop, AsyncCall(self.attempt, function, row)
        self._task = task = loop.create_task(item, context=context)
        if self._interrupted:
            task.cancel()
        if timeout:
            item.cancel_after(task, timeout)
        try:
            _, error = _call_aside(
                lambda: loop.run_until_complete(task), self.attempt, lambda: loop.call_soon_threadsafe(task.cancel)
            )
            if error is not None:
                raise error
        finally:
            item.disarm()
            if not task.done():
                self._give_up(loop, task)
        result, error = task.result()
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """Cancel what calls have left behind, and close the loop."""
        loop, self._loop = self._loop, None
        if loop is not None:
            _call_aside(lambda: end_loop(loop, self.attempt), self.attempt)

    def interrupt(self) -> None:
        """Cancel the call that is under way and those that follow; from any thread."""
        self._interrupted = True
        loop, task = self._loop, self._task
        if loop is not None and task is not None:
            self.attempt(loop.call_soon_threadsafe, task.cancel)  # it may just have been closed

    def _give_up(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Tried]) -> None:
        """Cancel a call that did not come to its end; if that does not end it, leave it and the loop."""
        if loop.is_running():  # in the thread that was left
            self._loop = None
            return
        task.cancel()
        task.add_done_callback(lambda _: loop.stop())
        loop.call_later(MERCY_S, loop.stop)
        self.attempt(loop.run_forever)
        if not task.done():
            self.close()


def run_to_end(function: Callable[..., Any], call: Call, slots: memoryview[int], loop: CallLoop) -> Callable[..., Any]:
    """Return an async function as a plain one: a generator function becomes a plain generator function.

    Args:
        function: the call's, with all its arguments by position.
        call: how long an item may take.
        loop: runs it; a generator has one of its own, since it may go on in another thread.
    """

    def limit() -> float:
        if not call.timeout:
            return 0.0
        if slots[BEGUN] != NOTHING:
            slots[BEGUN] += _HEAD_START_NS
        return call.timeout * slots[COUNT]

    def run(*row: Any) -> Any:
        made = function(*row)
        if hasattr(made, "__anext__"):
            return iterate(made, CallLoop(loop.attempt), limit)
        return loop.call(lambda: made, (), limit())

    return run


def iterate(children: AsyncIterator[Any], loop: CallLoop, limit: Callable[[], float] = float) -> Iterator[Any]:
    """Yield what an async iterator makes, each within `limit()` seconds, 0: any number; the loop is its own."""
    context = contextvars.copy_context()
    try:
        while (child := loop.call(take_next, (children,), limit(), context)) is not END:
            yield child
    finally:
        close = getattr(children, "aclose", None)
        if close is not None:
            loop.attempt(loop.call, close, (), 0.0, context)
        loop.close()


class AsyncSource:
    """An async source as a plain one: an async generator function, or one that returns something to iterate over."""

    def __init__(self, function: Callable[..., Any], attempt: Attempt) -> None:
        self._function = function
        self._loop = CallLoop(attempt)

    def rows(self, *row: Any, **named: Any) -> Iterator[Any]:
        """Yield what the source makes."""
        try:
            made = self._function(*row, **named)
            if not hasattr(made, "__anext__"):
                made = self._loop.call(lambda: made, ())
            yield from iterate(aiter(made), self._loop) if hasattr(made, "__aiter__") else made
        finally:
            self._loop.close()

    def interrupt(self) -> None:
        """Wait for nothing more; from any thread."""
        self._loop.interrupt()


async def take_next(children: AsyncIterator[Any]) -> Any:
    """Return the next child, or `END`."""
    return await anext(children, END)


def _call_aside(function: Callable[[], Any], attempt: Attempt, interrupt: Callable[[], Any] | None = None) -> Tried:
    """Call a function that runs a loop: here, or in another thread if this one runs a loop already, as in a notebook.

    Args:
        attempt: calls a function and returns (result, error).
        interrupt: ends it, if this thread is interrupted while it waits for the other.
    """
    from asyncio import _get_running_loop

    if _get_running_loop() is None:
        return attempt(function)
    tried: list[Tried] = []
    run = partial(contextvars.copy_context().run, attempt, function)
    thread = threading.Thread(target=lambda: tried.append(run()), name="papympi-loop", daemon=True)
    thread.start()
    try:
        thread.join()
    finally:
        if not tried and interrupt is not None:
            interrupt()
            thread.join(MERCY_S)
    return tried[0]


def forget_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Close what is left in a loop whose selector is closed already, and the loop; nothing can be awaited any more."""
    import asyncio

    loop.set_exception_handler(lambda _loop, _context: None)
    for task in asyncio.all_tasks(loop):
        coroutine = task.get_coro()
        attempt(coroutine.close)
    attempt(asyncio.BaseEventLoop.close, loop)
