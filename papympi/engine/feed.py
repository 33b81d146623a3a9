"""Where items come in: sources are pulled by chunks, in the engine's turn or, if that may block, on a reader thread."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from queue import SimpleQueue
from typing import Any

from papympi.errors import InputError
from papympi.model.item import Failure
from papympi.workers.evaluate import attempt

_END = object()
PATIENCE_S = 0.01
"""A chunk that has taken so long, in seconds, is given back as it is, so that a slow source holds nobody up."""


@dataclass(slots=True)
class Pulled:
    """A chunk of rows.

    Attributes:
        columns: for each member of the source its values, all of one length.
        ended: there are no more rows.
        unequal: the members ended at different places: the error that says where.
        failure: a member raised; its failure is the last value of every column.
    """

    columns: list[list[Any]]
    ended: bool = False
    unequal: InputError | None = None
    failure: Failure | None = None


@dataclass(slots=True)
class Feed:
    """The iterables behind one source step, in the order of its outputs.

    Attributes:
        names: the inputs' or source nodes' names.
        makers: each returns the iterable; called on the first pull.
        blocks: the iterables may take their time, so that a chunk is given back before it is full.
    """

    names: Sequence[str]
    makers: Sequence[Callable[[], Iterable[Any]]]
    blocks: bool = True
    _iterators: list[Iterator[Any]] = field(default_factory=list)
    _rows: int = 0
    _at: int = 0

    def pull(self, count: int) -> Pulled:
        """Return the next chunk of up to `count` rows: fewer at the end, or where the iterables take their time."""
        columns: list[list[Any]] = [[] for _ in self.names]
        pulled, error = attempt(self._pull_single if len(self.names) == 1 else self._pull_rows, columns, count)
        if error is None:
            rows: Pulled = pulled
            return rows
        if isinstance(error, KeyboardInterrupt):
            raise error
        return self._failed(columns, error)

    def _open(self) -> None:
        for maker in self.makers[len(self._iterators) :]:
            self._at = len(self._iterators)
            self._iterators.append(iter(maker()))

    def _pull_single(self, columns: list[list[Any]], count: int) -> Pulled:
        self._open()
        (values,) = columns
        iterator, until = self._iterators[0], time.monotonic() + PATIENCE_S
        step = 1 if self.blocks else count
        while len(values) < count:
            before = len(values)
            values.extend(islice(iterator, step))
            if len(values) < before + step:
                return Pulled(columns, ended=True)
            if time.monotonic() > until:
                break
        return Pulled(columns)

    def _pull_rows(self, columns: list[list[Any]], count: int) -> Pulled:
        self._open()
        until = time.monotonic() + PATIENCE_S
        while len(columns[0]) < count and (not self.blocks or not columns[0] or time.monotonic() < until):
            row = []
            for number, iterator in enumerate(self._iterators):
                self._at = number
                row.append(next(iterator, _END))
            if any(value is _END for value in row):
                return Pulled(columns, ended=True, unequal=self._compare(row))
            for column, value in zip(columns, row, strict=True):
                column.append(value)
            self._rows += 1
        return Pulled(columns)

    def _compare(self, row: list[Any]) -> InputError | None:
        ended = [name for name, value in zip(self.names, row, strict=True) if value is _END]
        longer = [name for name, value in zip(self.names, row, strict=True) if value is not _END]
        return unequal_lengths(ended, longer, self._rows) if longer else None

    def _failed(self, columns: list[list[Any]], error: BaseException) -> Pulled:
        text = "".join(traceback.format_exception(error))
        failure = Failure(self.names[self._at], (), error, text, worker="the runner")
        for column in columns:
            column.append(failure)
        return Pulled(columns, ended=True, failure=failure)

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
    """A thread that pulls a feed, so that one that blocks does not stop the run."""

    def __init__(self, feed: Feed, wake: Callable[[], None]) -> None:
        self._feed = feed
        self._wake = wake
        self._wanted: SimpleQueue[int] = SimpleQueue()
        self._pulled: SimpleQueue[Pulled] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def ask(self, count: int) -> None:
        """Ask for a chunk; there is one under way at a time."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, name=f"papympi-{self._feed.names[0]}", daemon=True)
            self._thread.start()
        self._wanted.put(count)

    def take(self) -> Pulled | None:
        """Return the chunk that was asked for, if it has come."""
        return None if self._pulled.empty() else self._pulled.get()

    def close(self) -> None:
        """Let the thread end once it is back from the iterator."""
        self._wanted.put(0)
        if self._thread is None:
            self._feed.close()

    def _read(self) -> None:
        while count := self._wanted.get():
            self._pulled.put(self._feed.pull(count))
            self._wake()
        self._feed.close()
