"""Where the rows of a source come from: the iterables behind it, read one by one or in step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final

from papympi.errors import InputError
from papympi.model.item import Failure
from papympi.model.telling import tell
from papympi.model.tracebacks import tell_traceback
from papympi.workers.evaluation.attempt import attempt_interruptibly

_END = object()
BRIEF_S: Final = 0.001
"""How long, in seconds, the caller's thread reads rows before it looks at results again; a row may take longer."""
TIED = (
    "This source waits for something, so another thread reads it. What is tied to its thread is opened by the "
    "generator itself or by a source node, or allows other threads (sqlite3: check_same_thread=False)"
)
"""Stands below what a source raises that a thread of its own reads, and that speaks of threads."""


@dataclass(slots=True)
class Rows:
    """Some rows.

    Attributes:
        columns: for each member of the source its values, all of one length.
        whole: nothing more comes of the quota that was asked for.
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
        blocks: the iterables may take their time: a thread reads them.
        interrupts: those end an iterable that takes its time, from any thread.
        tied: the iterables are the caller's: only whoever asks for results reads them.
        between: called whenever a row has been taken and before the next one is asked for.
        stopped: no more rows are wanted; for whoever reads them just now.
        cut: they were ended because of that.
        ended: there are no more rows.
        unequal: why they ended, where the members have unequal lengths.
        failure: why they ended, where a member raised.
    """

    names: Sequence[str]
    makers: Sequence[Callable[[], Iterable[Any]]]
    blocks: bool = True
    interrupts: Sequence[Callable[[], None]] = ()
    tied: bool = False
    between: Callable[[], None] | None = None
    stopped: bool = False
    cut: bool = False
    ended: bool = False
    unequal: InputError | None = None
    failure: Failure | None = None
    _iterators: list[Iterator[Any]] = field(default_factory=list)
    _rows: Iterator[Any] | None = None
    _at: int = 0

    def read_briefly(self, put: Callable[[Iterable[Any]], None], count: int) -> None:
        """Do as `read` does, but stop when it takes long: whoever reads has more to do."""
        until, step = time.monotonic() + BRIEF_S, 1
        while count and not self.ended:
            self.read(put, min(step, count))
            count -= min(step, count)
            step *= 2
            if time.monotonic() > until:
                break

    def read(self, put: Callable[[Iterable[Any]], None], count: int) -> None:
        """Give up to `count` rows to `put`, one by one as they come; a row of several members is a tuple."""
        if self._rows is None:
            several = len(self.names) > 1
            self._rows = self._read_several() if several else chain.from_iterable(self._read_single())
        _, error = attempt_interruptibly(put, islice(self._rows, count))
        if error is not None:
            if self.blocks and "thread" in tell(error):
                error.add_note(TIED)
            text = tell_traceback(error)
            self.failure = Failure(self.names[self._at], (), error, text, worker="the runner")
            self.ended = True

    def by_columns(self, rows: Sequence[Any], *, whole: bool = True) -> Rows:
        """Return rows that were read by columns; if they are the rest of a quota, with what ended them."""
        columns = [list(rows)] if len(self.names) == 1 else [list(column) for column in zip(*rows, strict=True)]
        columns = columns or [[] for _ in self.names]
        if not whole or not self.ended:
            return Rows(columns, whole)
        if self.failure is not None:
            for column in columns:
                column.append(self.failure)
        return Rows(columns, ended=True, unequal=self.unequal, failure=self.failure)

    def _read_single(self) -> Iterator[Iterable[Any]]:
        """Yield the one iterable; nothing of our own stands between it and whoever takes its rows."""
        self._iterators.append(iter(self.makers[0]()))
        yield self._iterators[0] if self.between is None else self._tell_between(self.between)
        self.ended = True

    def _tell_between(self, between: Callable[[], None]) -> Iterator[Any]:
        for value in self._iterators[0]:
            yield value
            between()
            if self.stopped:
                self.cut = True
                break

    def _read_several(self) -> Iterator[tuple[Any, ...]]:
        for number, maker in enumerate(self.makers):
            self._at = number
            self._iterators.append(iter(maker()))
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
            if self.stopped:
                self.cut = self.ended = True
                return
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
