"""A step that makes the rows of a run: read by quotas, in the engine's turn or, if that may block, on a thread."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from papympi.engine.admission import Order
from papympi.engine.index.chunks import Chunk
from papympi.engine.index.segment import Segment, open_segment
from papympi.engine.operators.protocol import Operator, RunContext
from papympi.engine.operators.reading import ReaderThread
from papympi.errors import InputError
from papympi.model.item import Failure
from papympi.plan.plan import Step
from papympi.transport.bitmap import FULL, normalized
from papympi.transport.payload import Payload
from papympi.workers.attempt import attempt_interruptibly

_END = object()


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
            several = len(self.names) > 1
            self._rows = self._read_several() if several else chain.from_iterable(self._read_single())
        _, error = attempt_interruptibly(put, islice(self._rows, count))
        if error is not None:
            text = "".join(traceback.format_exception(error))
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


class SourceOperator(Operator):
    """A source: the inputs that are joined by position, or a source node.

    Args:
        step: the step.
        context: the engine's parts.
        feed: where its rows come from.
        unit: the unit segment.
        shard: (number, of how many): only this share of the rows is there; `None`: all are.
        wake: ends the engine's wait, from any thread.
    """

    def __init__(
        self, step: Step, context: RunContext, feed: Feed, unit: Segment, shard: tuple[int, int] | None,
        wake: Callable[[], None],
    ) -> None:  # fmt: skip
        super().__init__(step, context)
        self._space = step.outputs[0].space
        self._segment = open_segment(context.layout.spaces[self._space], unit, 0, 1, FULL)
        self._holder = context.layout.hold(step)
        self._feed = feed
        self._thread: ReaderThread | None = None
        if feed.blocks:
            self._thread = ReaderThread(feed.names[0], feed.read, feed.close, feed.interrupts, wake)
            feed.between = self._thread.feed_hungry
        self._shard = shard
        self._asked = 0
        self._ended = False
        context.admission.producers.append(self)

    @property
    def rows(self) -> int:
        """How many rows it has given."""
        return self._segment.emitted

    def smallest(self) -> Order | None:
        """Return the order key of the next row; `None`: there are no more."""
        return None if self._ended else (0, self._space.rank, self._segment.emitted)

    def pending(self) -> Order | None:
        """Return the order key at which it waits: for its next quota, or for its error to be raised."""
        return (0, self._space.rank, self._segment.emitted) if self.has_more() else None

    def is_waiting(self) -> bool:
        """Return whether rows are on their way."""
        return self._asked > 0

    def has_more(self) -> bool:
        """Return whether there are more rows, or an error that waits for its turn."""
        return not self._ended or self._segment.unequal is not None

    def pull(self) -> bool:
        """Ask for rows as long as quotas are granted; return whether one was."""
        moved = False
        segment, admission = self._segment, self._context.admission
        while not (self._ended or self._asked or segment.unequal is not None):
            if not admission.sees_ahead(self.step, segment.emitted, segment.retired.prefix()):
                break
            if not admission.grants(self.step, (0, self._space.rank, segment.emitted)):
                break
            self._pull_quota()
            moved = True
        return moved

    def _pull_quota(self) -> None:
        self._asked = self._context.admission.quotas[self.step]
        self._context.accounts.reserve(self._space, self._asked)
        if self._thread is not None:
            self._thread.ask(self._asked)
        else:
            rows: list[Any] = []
            self._feed.read(rows.extend, self._asked)
            self._enter(self._feed.by_columns(rows))
            self._context.router.settle()

    def force(self) -> None:
        """Ask for a quota although nothing fits, or raise the error that waits for its turn.

        Raises:
            InputError: aligned inputs have unequal lengths.
        """
        if self._segment.unequal is not None:
            raise self._segment.unequal
        self._pull_quota()

    def take(self) -> bool:
        """Enter the rows that its thread has brought; return whether there were any."""
        found = self._thread.take() if self._asked and self._thread is not None else None
        if found is not None:
            self._enter(self._feed.by_columns(found[0], whole=found[1]))
        return found is not None

    def _enter(self, rows: Rows) -> None:
        """Number rows and send them on."""
        segment, context, size = self._segment, self._context, len(rows.columns[0])
        start, stop = segment.emitted, segment.emitted + size
        came = self._asked if rows.whole else size
        context.accounts.unreserve(self._space, came)
        if rows.failure is not None:
            context.tally.fail([rows.failure])
        if context.recorder is not None:
            names = [stream.node for stream in self.step.outputs]
            context.recorder.rows(names, start, rows.columns, failed=rows.failure is not None)
        self._asked -= came
        self._ended = rows.ended
        segment.emitted, segment.unequal = stop, rows.unequal
        if rows.ended and rows.unequal is None:
            segment.ends.append(stop)
            segment.closed = True
        if size:
            context.accounts.emit(self._space, size)
            self._post(rows, start, stop)
        context.router.grow(segment)
        if segment.closed and segment.parent is not None:
            segment.parent.release(self._holder, 0, 1)

    def _post(self, rows: Rows, start: int, stop: int) -> None:
        failed = 1 << (stop - start - 1) if rows.failure is not None else 0
        for stream, values in zip(self.step.outputs, rows.columns, strict=True):
            chunk: Chunk = (start, stop, Payload(values), 0, FULL)
            if self._shard is not None:
                chunk = _pick_share(values, start, *self._shard)
            self._context.tally.done[stream.node] += stop - start
            self._context.item_sizes.weigh_chunk(stream, chunk)
            self._context.router.post(stream, self._segment, chunk, failed)

    def close(self) -> None:
        """Let go of the iterators."""
        if self._thread is not None:
            self._thread.close()
        else:
            self._feed.close()


def _pick_share(values: list[Any], start: int, number: int, shards: int) -> Chunk:
    """Return the chunk of rows from `start` on of which only one share is there: every `shards`-th row."""
    valid = 0
    for index in range((number - start) % shards, len(values), shards):
        valid |= 1 << index
    stop = start + len(values)
    if not valid:
        return (start, stop, None, 0, 0)
    some = [value if valid >> index & 1 else None for index, value in enumerate(values)]
    return (start, stop, Payload(some), 0, normalized(valid, len(values)))
