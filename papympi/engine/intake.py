"""How rows come into the graph: sources are granted chunks, and when all else rests, the smallest gated task is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from papympi.engine.acceptance import Acceptor
from papympi.engine.admission import Admission, Order
from papympi.engine.births import Gated, Generator, Source
from papympi.engine.dispatch import Dispatcher
from papympi.engine.feed import Feed, Reader
from papympi.engine.joining import Router
from papympi.engine.segment import Segment
from papympi.plan.plan import Plan, Step
from papympi.transport.bitmap import FULL


class Intake:
    """The sources of a run."""

    def __init__(
        self, admission: Admission, gated: Gated, dispatcher: Dispatcher, acceptor: Acceptor, router: Router
    ) -> None:
        self._admission = admission
        self._gated = gated
        self._dispatcher = dispatcher
        self._acceptor = acceptor
        self._router = router

    def open(self, plan: Plan, unit: Segment, feeds: Mapping[Step, Feed], wake: Callable[[], None]) -> None:
        """Make the sources of a plan; `feeds` says for each where its rows come from."""
        for step in plan.steps:
            if step.kind == "source":
                feed = feeds[step]
                segment = self._router.gathers.open_segment(step, unit, 0, 1, FULL)
                self._gated.sources.append(Source(step, segment, feed, Reader(feed, wake) if feed.blocks else None))

    def close(self) -> None:
        """Let go of the iterators."""
        for source in self._gated.sources:
            source.close()

    def is_waiting(self) -> bool:
        """Return whether rows are on their way."""
        return any(source.asked for source in self._gated.sources)

    def has_more(self) -> bool:
        """Return whether a source has more rows, or an error that waits for its turn."""
        return any(not source.ended or source.segment.unequal is not None for source in self._gated.sources)

    def count_rows(self) -> int:
        """Return how many rows the longest source has given."""
        return max((source.segment.emitted for source in self._gated.sources), default=0)

    def take(self) -> bool:
        """Enter the chunks that readers have brought; return whether one had."""
        moved = False
        for source in self._gated.sources:
            pulled = source.reader.take() if source.asked and source.reader is not None else None
            if pulled is not None:
                moved = True
                self._acceptor.accept_rows(source, pulled)
        return moved

    def pull(self) -> bool:
        """Grant the sources their chunks; return whether one was granted."""
        moved = False
        for source in self._gated.sources:
            while self._may_pull(source):
                self._pull_chunk(source)
                moved = True
        return moved

    def _may_pull(self, source: Source) -> bool:
        segment = source.segment
        if source.ended or source.asked or segment.unequal is not None:
            return False
        if not self._admission.sees_ahead(source.step, segment.emitted, segment.retired.prefix()):
            return False
        return self._dispatcher.may_bear(source.step, source.order())

    def _pull_chunk(self, source: Source) -> None:
        source.asked = self._admission.chunk(source.step)
        self._admission.ledger.reserve(source.segment.table.space, source.asked)
        if source.reader is not None:
            source.reader.ask(source.asked)
        else:
            rows: list[Any] = []
            source.feed.read(rows.extend, source.asked)
            self._acceptor.accept_rows(source, source.feed.pull(rows))
            self._router.settle()

    def force(self) -> bool:
        """Grant one chunk to the smallest gated task, whatever the bounds; return whether there is one.

        Raises:
            InputError: the smallest is the end of aligned inputs of unequal length.
        """
        gated: list[tuple[Order, int, Source | Generator | Step]] = [
            (source.order(), number, source)
            for number, source in enumerate(self._gated.sources)
            if not source.ended or source.segment.unequal is not None
        ]
        for generator in self._gated.generators:
            gated.append((generator.order(), len(gated), generator))
        gated += [
            (self._dispatcher.head_order(step), len(gated) + step.number, step) for step in self._dispatcher.starts()
        ]
        if not gated:
            return False
        first = min(gated, key=lambda entry: entry[:2])[2]
        if not isinstance(first, Source):
            self._dispatcher.force(first)
        elif first.segment.unequal is not None:
            raise first.segment.unequal
        else:
            self._pull_chunk(first)
        return True
