"""Async functions for those who call one function at a time: a loop of their own runs each call to its end."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from papympi.plan.program import Call
from papympi.workers.alarm import NS
from papympi.workers.cell import BEGUN, COUNT
from papympi.workers.coroutine import MERCY_S, Item, end_loop
from papympi.workers.resources import Attempt
from papympi.workers.steps import Tried

if TYPE_CHECKING:
    import asyncio

END: Final = object()
"""What `take_next` returns when there is no more."""
_HEAD_START_NS: Final = NS // 10
"""So much later than the loop an alarm rings: what waits in a loop is better cancelled there."""


class Loop:
    """An event loop that runs one call at a time, in whichever thread asks for it.

    Args:
        attempt: calls a function and returns (result, error).

    Attributes:
        attempt: the same.
    """

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self._loop: asyncio.AbstractEventLoop | None = None

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
        loop, item = self._loop, Item(self.attempt, function, row)
        task = loop.create_task(item, context=context)
        timer = item.limit(task, timeout) if timeout else None
        try:
            _run(loop, task, self.attempt)
        finally:
            if timer is not None:
                timer.cancel()
            if not task.done():
                self._interrupt(loop, task)
        result, error = task.result()
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """Cancel what calls have left behind, and close the loop."""
        loop, self._loop = self._loop, None
        if loop is not None:
            end_loop(loop, self.attempt)

    def _interrupt(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        """Cancel a call that was interrupted; if it does not end, leave it and the loop."""
        if loop.is_running():  # in the thread that was left
            self._loop = None
            return
        task.cancel()
        task.add_done_callback(lambda _: loop.stop())
        loop.call_later(MERCY_S, loop.stop)
        self.attempt(loop.run_forever)
        if not task.done():
            self.close()


def run_to_end(function: Callable[..., Any], call: Call, slots: memoryview[int], loop: Loop) -> Callable[..., Any]:
    """Return an async function as a plain one: a generator function becomes a plain generator function.

    Args:
        function: the call's, with all its arguments by position.
        call: how long an item may take.
        slots: of the worker's cell.
        loop: runs it; a generator has one of its own, since it may go on in another thread.
    """

    def limit() -> float:
        if not call.timeout:
            return 0.0
        slots[BEGUN] += _HEAD_START_NS
        return call.timeout * slots[COUNT]

    def run(*row: Any) -> Any:
        made = function(*row)
        if hasattr(made, "__anext__"):
            return iterate(made, loop.attempt, limit)
        return loop.call(_same, (made,), limit())

    return run


def iterate(children: AsyncIterator[Any], attempt: Attempt, limit: Callable[[], float] = float) -> Iterator[Any]:
    """Yield what an async iterator makes, each within `limit()` seconds; 0: any number."""
    loop, context = Loop(attempt), contextvars.copy_context()
    try:
        while (child := loop.call(take_next, (children,), limit(), context)) is not END:
            yield child
    finally:
        close = getattr(children, "aclose", None)
        if close is not None:
            attempt(loop.call, close, (), 0.0, context)
        loop.close()


def to_rows(function: Callable[..., Any], attempt: Attempt) -> Callable[..., Iterator[Any]]:
    """Return an async source as a plain one: an async generator, or what returns something to iterate over."""

    def rows(*row: Any, **named: Any) -> Iterator[Any]:
        made = function(*row, **named)
        if not hasattr(made, "__anext__"):
            loop = Loop(attempt)
            try:
                made = loop.call(_same, (made,))
            finally:
                loop.close()
        if hasattr(made, "__aiter__"):
            made = iterate(aiter(made), attempt)
        yield from made

    return rows


async def take_next(children: AsyncIterator[Any]) -> Any:
    """Return the next child, or `END`."""
    return await anext(children, END)


def _same(made: Any) -> Any:
    return made


def _run(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any], attempt: Attempt) -> None:
    """Run a task to its end. A thread in which another loop runs already, as a notebook's, lets another do it."""
    from asyncio import _get_running_loop

    if _get_running_loop() is None:
        loop.run_until_complete(task)
        return
    tried: list[Tried] = []
    thread = threading.Thread(
        target=lambda: tried.append(attempt(loop.run_until_complete, task)), name="papympi-loop", daemon=True
    )
    thread.start()
    try:
        thread.join()
    finally:
        if not tried:
            loop.call_soon_threadsafe(task.cancel)
            thread.join(MERCY_S)
    if tried[0][1] is not None:
        raise tried[0][1]
