"""Async calls that wait at the same time in one event loop: how many may, and what came of each."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from papympi.workers.evaluation.alarm import NS, Overdue
from papympi.workers.evaluation.calls import Calls
from papympi.workers.evaluation.coroutine import MERCY_S, Item
from papympi.workers.evaluation.location import Spot, enter
from papympi.workers.evaluation.progress import BEGUN, COUNT, INDEX, NODE, NOTHING, START, TASK
from papympi.workers.evaluation.resources import Attempt
from papympi.workers.evaluation.steps import Tried

if TYPE_CHECKING:
    import asyncio


class Place(NamedTuple):
    """Which items a call is for: the calls of their task, its number among them, the first position, how many."""

    calls: Calls
    node: int
    position: int
    items: int


class Room:
    """How many calls may wait at the same time in one loop.

    Args:
        attempt: calls a function and returns (result, error).
        slots: of the cell that says what keeps the loop.
        size: how many.

    Attributes:
        attempt: the same.
        slots: the same.
        places: one for each call.
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


class Crowd:
    """Calls of one batch that are awaited at the same time.

    Attributes:
        tried: what came of each, by first position and number of items.
    """

    def __init__(self) -> None:
        self.tried: dict[tuple[int, int], Tried] = {}
        self._waiting = 0
        self._all_home: asyncio.Future[None] | None = None

    async def admit(
        self,
        room: Room,
        place: Place,
        call: tuple[Callable[..., Any], tuple[Any, ...]],
        timeout: float = 0.0,
        context: contextvars.Context | None = None,
    ) -> None:
        """Begin a call once there is room for it; it has so many seconds, 0: any number."""
        await room.places.acquire()
        self._waiting += 1
        _Visit(room, place, _Watched(room, place, timeout, call), self._take_home).begin(timeout, context)

    async def wait(self) -> None:
        """Wait until something has come of every call."""
        import asyncio

        while self._waiting:
            self._all_home = asyncio.get_running_loop().create_future()
            await self._all_home

    def _take_home(self, place: Place, tried: Tried) -> None:
        self.tried[place.position, place.items] = tried
        self._waiting -= 1
        if not self._waiting and self._all_home is not None and not self._all_home.done():
            self._all_home.set_result(None)


class _Watched(Item):
    """An item that says in the cell when it keeps the loop."""

    __slots__ = ("_limit_ns", "_place", "_room", "_told")

    def __init__(
        self, room: Room, place: Place, timeout: float, call: tuple[Callable[..., Any], tuple[Any, ...]]
    ) -> None:
        super().__init__(room.attempt, *call)
        self._room = room
        self._place = place
        self._limit_ns = round(timeout * NS)
        self._told = False  # to come to an end

    def send(self, value: Any, /) -> Any:
        """Go on until the function waits for something, and return that; not in a loop that is to be left."""
        if self._room.closed and not self._told:
            return None
        if self._inner is None and self._place.items == 1:
            enter(self._spot())  # in the context of the item's own task
        return self._watch(super().send, value)

    def throw(self, kind: Any, value: Any = None, trace: Any = None, /) -> Any:  # noqa: ARG002 - inherited
        """Go on with an exception where the function waits."""
        self._told = True
        return self._watch(super().throw, kind if value is None else value)

    def _spot(self) -> Spot:
        """Return where the item is, for what it prints and starts."""
        calls, node, position, _ = self._place
        outside = calls.bench.outside
        return Spot(outside.recorder, outside.seed, calls.stage.calls[node].node, calls.key_of(position))

    def _watch(self, advance: Callable[[Any], Any], value: Any) -> Any:
        slots, limit_ns, begun = self._room.slots, self._limit_ns, time.monotonic_ns()
        calls, slots[NODE], slots[INDEX], slots[COUNT] = self._place
        slots[START] = begun
        slots[BEGUN] = begun if limit_ns else NOTHING
        slots[TASK] = calls.task.id
        try:
            return advance(value)
        finally:
            slots[TASK] = slots[BEGUN] = NOTHING
            if limit_ns and time.monotonic_ns() - begun > limit_ns:
                self.expired = True


class _Visit:
    """One call in the room, until something has come of it."""

    def __init__(self, room: Room, place: Place, item: Item, take_home: Callable[[Place, Tried], None]) -> None:
        self._room = room
        self._place = place
        self._item = item
        self._take_home: Callable[[Place, Tried], None] | None = take_home
        self._mercy: asyncio.TimerHandle | None = None

    def begin(self, timeout: float, context: contextvars.Context | None) -> None:
        """Let the loop run the call."""
        import asyncio

        loop = asyncio.get_running_loop()
        task = loop.create_task(self._item, context=context)
        self._room.tasks.add(task)
        if timeout:
            self._item.limit(task, timeout, self._wait_no_longer)
        task.add_done_callback(self._end)

    def _wait_no_longer(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give a call that was cancelled a moment to end."""
        self._mercy = loop.call_later(MERCY_S, self._leave, (None, Overdue()))

    def _end(self, task: asyncio.Task[Tried]) -> None:
        self._room.tasks.discard(task)
        tried, error = self._room.attempt(task.result)
        if error is not None:  # it has cancelled itself and not waited for anything
            tried = None, error
        elif tried[1] is None and self._item.expired:
            tried = None, Overdue()
        self._leave(tried)

    def _leave(self, tried: Tried) -> None:
        self._item.disarm()
        if self._mercy is not None:
            self._mercy.cancel()
        take_home, self._take_home = self._take_home, None
        if take_home is not None:
            self._room.places.release()
            take_home(self._place, tried)
