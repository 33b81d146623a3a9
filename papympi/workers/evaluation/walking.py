"""The steps of async folds and scatters: what `fold` and `scatter` would call at once is awaited."""

from __future__ import annotations

import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final, NamedTuple

from papympi.workers.evaluation.arguments import to_positional
from papympi.workers.evaluation.blocking import END, take_next
from papympi.workers.evaluation.calls import Calls
from papympi.workers.evaluation.crowd import Crowd, Place, Room
from papympi.workers.evaluation.fold import fold_rows
from papympi.workers.evaluation.progress import INDEX, NOTHING
from papympi.workers.evaluation.scatter import close_children, open_children, take, take_timed
from papympi.workers.evaluation.steps import Tried

_DONE: Final[Tried] = (None, None)


class _Children(NamedTuple):
    """An async generator, and the context that its code sees all the time."""

    iterator: AsyncIterator[Any]
    context: contextvars.Context


class Walk:
    """Does the jobs of one fold or scatter.

    Args:
        room: where to wait.
        calls: of the task.
    """

    def __init__(self, room: Room, calls: Calls) -> None:
        self._room = room
        self._calls = calls
        self._call = calls.stage.calls[0]
        self._timeout = self._call.timeout or 0.0
        self._position = 0
        self._jobs: dict[Callable[..., Any], Callable[..., Awaitable[Tried]]] = {
            fold_rows: self._fold_rows,
            open_children: self._open,
            close_children: self._close,
            take: self._take,
            take_timed: self._take_timed,
        }

    async def do(self, job: Callable[..., Any], *args: Any) -> Tried:
        """Return what comes of a job; the cell says for which position it is."""
        position = self._room.slots[INDEX]
        if position != NOTHING:
            self._position = position
        return await self._jobs[job](*args)

    async def _fold_rows(
        self, _function: Any, box: list[Any], rows: Iterable[tuple[int, tuple[Any, ...]]], *_: Any
    ) -> Tried:
        function = to_positional(self._call)
        for position, row in rows:
            box[1] = position
            self._position = position
            value, error = await self._await(function, (box[0], *row), self._timeout)
            if error is not None:
                return None, error
            box[0] = value
        return _DONE

    async def _open(self, _function: Any, row: tuple[Any, ...]) -> Tried:
        made, error = self._room.attempt(to_positional(self._call), *row)
        return (None, error) if error is not None else (_Children(made, contextvars.copy_context()), None)

    async def _close(self, children: _Children) -> Tried:
        close = getattr(children.iterator, "aclose", None)
        return _DONE if close is None else await self._await(close, (), 0.0, children.context)

    async def _take(self, children: _Children, count: int, put: Callable[[Any], Any]) -> Tried:
        return await self._await(_take_some, (children.iterator, count, put), 0.0, children.context)

    async def _take_timed(self, children: _Children, count: int, put: Callable[[Any], Any], *_: Any) -> Tried:
        for _number in range(count):
            child, error = await self._await(take_next, (children.iterator,), self._timeout, children.context)
            if error is not None or child is END:
                return None, error
            put(child)
        return _DONE

    async def _await(
        self,
        function: Callable[..., Any],
        row: tuple[Any, ...],
        timeout: float,
        context: contextvars.Context | None = None,
    ) -> Tried:
        crowd = Crowd()
        await crowd.admit(self._room, Place(self._calls, 0, self._position, 1), (function, row), timeout, context)
        await crowd.wait()
        return crowd.tried[self._position, 1]


async def _take_some(iterator: AsyncIterator[Any], count: int, put: Callable[[Any], Any]) -> None:
    """Give at most so many children to `put`."""
    for _ in range(count):
        child = await take_next(iterator)
        if child is END:
            return
        put(child)
