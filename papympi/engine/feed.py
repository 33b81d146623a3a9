"""Where items come in: sources are pulled by chunks, in the engine's turn or, if that may block, on a reader thread."""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from queue import SimpleQueue
from typing import Any

from papympi.errors import InputError
from papympi.model.item import Failure
from papympi.workers.evaluation.attempt import attempt_interruptibly

_END = object()


@dataclass(slots=True)
class Pulled:
    """Some rows.

    Attributes:
        columns: for each member of the source its values, all of one length.
        whole: nothing more comes of the chunk that was asked for.
        ended: there are no more rows.
        unequal: the members ended at different places: the error that says where.
        failure: a member raised; its failure is the last value of every column.
    """

    columns: list[list[Any]]
    whole: bool = True
    ended: bool = False
    unequal: InputError | None = None
    failure: Failure | None = None


@dataclass(slots=True)
class Feed:
    """The iterables behind one source step, in the order of its outputs.

    Attributes:
        names: the inputs' or source nodes' names.
        makers: each returns the iterable; called when the first row is wanted.
        blocks: the iterables may take their time.
        interrupts: those end an iterable that takes its time, from any thread.
        between: called whenever a row has been taken and before the next one is asked for.
        ended: there are no more rows.
        unequal: why they ended, where the members have unequal lengths.
        failure: why they ended, where a member raised.
    """

    names: Sequence[str]
    makers: Sequence[Callable[[], Iterable[Any]]]
    blocks: bool = True
    interrupts: Sequence[Callable[[], None]] = ()
    between: Callable[[], None] | None = None
    ended: bool = False
    unequal: InputError | None = None
    failure: Failure | None = None
    _iterators: list[Iterator[Any]] = field(default_factory=list)
    _rows: Iterator[Any] | None = None
    _at: int = 0

    def read(self, put: Callable[[Iterable[Any]], None], count: int) -> None:
        """Give up to `count` rows to `put`, one by one as they come; a row of several members is a tuple."""
        if self._rows is None:
            self._rows = self._read_single() if len(self.names) == 1 else self._read_several()
        _, error = attempt_interruptibly(put, islice(self._rows, count))
        if error is not None:
            text = "".join(traceback.format_exception(error))
            self.failure = Failure(self.names[self._at], (), error, text, worker="the runner")
            self.ended = True

    def pull(self, rows: Sequence[Any], *, whole: bool = True) -> Pulled:
        """Return rows that were read by columns; if they are the rest of a chunk, with what ended them."""
        columns = [list(rows)] if len(self.names) == 1 else [list(column) for column in zip(*rows, strict=True)]
        columns = columns or [[] for _ in self.names]
        if not whole or not self.ended:
            return Pulled(columns, whole)
        if self.failure is not None:
            for column in columns:
                column.append(self.failure)
        return Pulled(columns, ended=True, unequal=self.unequal, failure=self.failure)

    def _open(self) -> None:
        for number, maker in enumerate(self.makers):
            self._at = number
            self._iterators.append(iter(maker()))

    def _read_single(self) -> Iterator[Any]:
        """Return the rows; nothing of our own stands between one that does not block and whoever takes its rows."""
        return chain.from_iterable(self._pass_single())

    def _pass_single(self) -> Iterator[Iterable[Any]]:
        self._open()
        yield self._iterators[0] if self.between is None else self._tell_between(self.between)
        self.ended = True

    def _tell_between(self, between: Callable[[], None]) -> Iterator[Any]:
        for value in self._iterators[0]:
            yield value
            between()

    def _read_several(self) -> Iterator[tuple[Any, ...]]:
        self._open()
        rows = 0
        while True:
            row = []
            for number, iterator in enumerate(self._iterators):
                self._at = number
                row.append(next(iterator, _END))
            if any(value is _END for value in row):
                break
            yield tuple(row)
            rows += 1
            if self.between is not None:
                self.between()
        self.unequal = self._compare(row, rows)
        self.ended = True

    def _compare(self, row: list[Any], rows: int) -> InputError | None:
        ended = [name for name, value in zip(self.names, row, strict=True) if value is _END]
        longer = [name for name, value in zip(self.names, row, strict=True) if value is not _END]
        return unequal_lengths(ended, longer, rows) if longer else None

    def close(self) -> None:
        """Close iterators that can be closed, so that files and generators let go."""
        for iterator in self._iterators:
            close = getattr(iterator, "close", None)
            if close is not None and not getattr(iterator, "gi_running", False):
                close()


def unequal_lengths(ended: Sequence[str], longer: Sequence[str], rows: int) -> InputError:
    """Return the error that says which of several aligned inputs ended first, and where."""
    short, long = (" and ".join(repr(name) for name in names) for names in (ended, longer))
    return InputError(
        f"inputs that are joined by position must have the same length: {short} ended after {rows} items, "
        f"{long} {'goes' if len(longer) == 1 else 'go'} on"
    )


class Reader:
    """A thread that reads a feed, so that one that blocks does not stop the run. What it has read can be taken at once.

    The thread extends a queue that the engine takes from; before it asks for the next row, which may be long in coming,
    it wakes the engine if that has found the queue empty.
    """

    def __init__(self, feed: Feed, wake: Callable[[], None]) -> None:
        self._feed = feed
        self._wake = wake
        self._wanted: SimpleQueue[int] = SimpleQueue()
        self._rows: deque[Any] = deque()
        self._whole = True
        self._hungry = False
        self._thread: threading.Thread | None = None
        feed.between = self._feed_hungry

    def ask(self, count: int) -> None:
        """Ask for a chunk; there is one under way at a time."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, name=f"papympi-{self._feed.names[0]}", daemon=True)
            self._thread.start()
        self._whole = False
        self._wanted.put(count)

    def take(self) -> Pulled | None:
        """Return what has come of the chunk that was asked for since it was last taken; `None`: nothing has."""
        self._hungry = True
        whole = self._whole  # looked at before the queue: nothing is put there once it is set
        rows = [self._rows.popleft() for _ in range(len(self._rows))]
        if not rows and not whole:
            return None
        self._hungry = False
        return self._feed.pull(rows, whole=whole)

    def close(self) -> None:
        """Let the thread end once it is back from the iterator."""
        self._wanted.put(0)
        for interrupt in self._feed.interrupts:
            interrupt()
        if self._thread is None:
            self._feed.close()

    def _feed_hungry(self) -> None:
        if self._hungry:
            self._hungry = False
            self._wake()

    def _read(self) -> None:
        while count := self._wanted.get():
            self._feed.read(self._rows.extend, count)
            self._whole = True
            self._wake()
        self._feed.close()
