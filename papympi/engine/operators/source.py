"""A step that makes the rows of a run: read by quotas, in the engine's turn or, if that may block, on a thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from papympi.engine.admission import Order
from papympi.engine.index.segment import Segment, open_segment
from papympi.engine.operators.feed import BRIEF_S, Feed, Rows
from papympi.engine.operators.protocol import Operator, RunContext
from papympi.engine.operators.reading import ReaderThread
from papympi.plan.plan import Step
from papympi.transport.bitmap import FULL, is_valid, normalized
from papympi.transport.payload import Payload
from papympi.transport.task import Output


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
        self._reads = feed.read_briefly if feed.tied else feed.read
        if feed.blocks:
            self._thread = ReaderThread(feed.names[0], feed.read, feed.close, feed.interrupts, wake)
            feed.between = self._thread.feed_hungry
        self._shard = shard
        self._asked = 0
        self._ended = self._cut = False
        context.admission.producers.append(self)

    @property
    def through(self) -> int:
        """How many of them nobody needs any more."""
        return max(0, self.rows - self._context.accounts.spaces[self.step.outputs[0].space.number])

    @property
    def rows(self) -> int:
        """How many rows it has given."""
        return self._segment.emitted

    def smallest(self) -> Order | None:
        """Return the order key of the next row; `None`: there are no more."""
        return None if self._ended else self._order()

    def pending(self) -> Order | None:
        """Return the order key at which it waits: for its next quota, or for its error to be raised."""
        return self._order() if self.has_more() else None

    def _order(self) -> Order:
        assert self._segment.parent is not None
        return self._segment.parent.child_order(0, self._space, self._segment.emitted)

    @property
    def is_threaded(self) -> bool:
        """Whether a thread reads its rows."""
        return self._thread is not None

    @property
    def is_tied(self) -> bool:
        """Whether only whoever asks for results may pull it."""
        return self._feed.tied and self._thread is None

    def is_waiting(self) -> bool:
        """Return whether rows are on their way."""
        return self._asked > 0

    def has_more(self) -> bool:
        """Return whether there are more rows, or an error that waits for its turn."""
        return not self._ended or self._segment.unequal is not None

    def pull(self, *, once: bool = False) -> bool:
        """Ask for rows as long as quotas are granted, or for one quota; return whether one was."""
        moved = False
        segment, admission, until = self._segment, self._context.admission, time.monotonic() + BRIEF_S
        while not (self._ended or self._asked or segment.unequal is not None):
            if not admission.sees_ahead(self.step, segment):
                break
            if not admission.grants(self.step, self._order()):
                break
            self._pull_quota()
            moved = True
            if once or (self.is_tied and time.monotonic() > until):
                break
        return moved

    def _pull_quota(self) -> None:
        self._asked = self._context.admission.quotas[self.step]
        self._context.accounts.reserve(self._space, self._asked)
        if self._thread is not None:
            self._thread.ask(self._asked)
        else:
            rows: list[Any] = []
            self._reads(rows.extend, self._asked)
            self._enter(self._feed.by_columns(rows))
            self._context.router.settle()

    def drain(self) -> bool:
        """End where it has been read to; a row that its thread is just reading is waited for, but not for long."""
        if self._ended or self._segment.unequal is not None:
            return False
        found = None
        if self._asked and self._thread is not None:
            self._feed.stopped = True
            if not self._thread.is_given_up():
                return False
            found = self._thread.take()
        rows = self._feed.by_columns(found[0] if found is not None else [])
        self._cut, rows.ended = not rows.ended, True
        self._enter(rows)
        return True

    def is_cut(self) -> bool:
        """Return whether it was ended before its rows had ended."""
        return self._cut or self._feed.cut

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
        if rows.failure is not None:
            context.tally.fail([rows.failure])
        if context.recorder is not None:
            names = [stream.node for stream in self.step.outputs]
            context.recorder.rows(names, start, rows.columns, failed=rows.failure is not None)
        self._asked -= came
        self._ended = rows.ended
        segment.emitted, segment.unequal = stop, rows.unequal
        if rows.ended and rows.unequal is None and not (context.recorder is not None and self.is_cut()):
            segment.ends.append(stop)  # else only a later attempt knows what all rows are
            segment.closed = True
        context.accounts.emit(self._space, size, came)
        if size:
            self._post(rows, start, stop)
        context.router.grow(segment)
        if segment.closed and segment.parent is not None:
            segment.parent.release(self._holder, 0, 1)

    def _post(self, rows: Rows, start: int, stop: int) -> None:
        failed = 1 << (stop - start - 1) if rows.failure is not None else 0
        for stream, values in zip(self.step.outputs, rows.columns, strict=True):
            output = Output([Payload(values)], FULL, failed)
            self._context.tally.done[stream.node] += stop - start
            self._context.item_sizes.weigh(stream, output)
            if self._shard is not None:
                output = _pick_share(output, start, *self._shard)
            self._context.router.post_output(stream, output, [(self._segment, start, stop)])

    def close(self) -> None:
        """Let go of the iterators."""
        if self._thread is not None:
            self._thread.close()
        else:
            self._feed.close()


def pull_in_turns(sources: list[SourceOperator]) -> bool:
    """Let sources read, the one that is behind the others first; return whether any did."""
    if len(sources) == 1:
        return sources[0].pull()
    moved, until = False, time.monotonic() + BRIEF_S
    waiting = {source: order for source in sources if (order := source.smallest()) is not None}
    while waiting and time.monotonic() < until:
        first = min(waiting, key=waiting.__getitem__)
        pulled, order = first.pull(once=True), first.smallest()
        moved |= pulled
        if pulled and order is not None:
            waiting[first] = order
        else:
            del waiting[first]
    return moved


def _pick_share(rows: Output, start: int, number: int, shards: int) -> Output:
    """Return rows from `start` on of which only one share is there: every `shards`-th row."""
    values = rows.payloads[0].values()
    valid = 0
    for index in range((number - start) % shards, len(values), shards):
        valid |= 1 << index
    some = [value if is_valid(valid, index) else None for index, value in enumerate(values)]
    return Output([Payload(some)], normalized(valid, len(values)), rows.failed & valid)
