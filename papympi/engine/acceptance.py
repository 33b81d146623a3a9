"""What comes home: outcomes are laid over the positions they are for, and everything that waited for them goes on."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import cast

from papympi.contracts import NodeCount
from papympi.engine.batching import Batch
from papympi.engine.births import Generator, Source, distribute, share_of, spans_of
from papympi.engine.dispatch import Dispatcher
from papympi.engine.feed import Pulled
from papympi.engine.gathering import Folding
from papympi.engine.joining import Router
from papympi.engine.pieces import cut_around
from papympi.engine.roster import Flight
from papympi.engine.segment import Ledger, Segment
from papympi.engine.strides import Strides
from papympi.engine.weights import Weights
from papympi.model.item import Failure, Key
from papympi.plan.plan import Plan, Step
from papympi.transport.bitmap import clip_bitmap
from papympi.transport.task import Outcome


@dataclass(slots=True)
class Tally:
    """What has been counted so far, by node name.

    Attributes:
        failures: every failure, in the order in which it came home.
        known: (node, key) of failures of an earlier attempt, which may come home again.
    """

    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    retried: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    failures: list[Failure] = field(default_factory=list)
    known: set[tuple[str, Key]] = field(default_factory=set)

    def restore(self, failures: list[Failure]) -> None:
        """Count the failures of an earlier attempt."""
        self.fail(failures)
        self.known = {(failure.node, failure.key) for failure in failures}

    def fail(self, failures: list[Failure]) -> None:
        """Count failures; each is counted where it was born, once, however many copies of it travel on."""
        if self.known:
            failures = [failure for failure in failures if (failure.node, failure.key) not in self.known]
        for failure in failures:
            self.failed[failure.node] += 1
        self.failures += failures

    def to_counts(self, nodes: list[str]) -> dict[str, NodeCount]:
        """Return the counts of some nodes."""
        return {
            node: NodeCount(
                self.done[node], self.failed[node], self.dropped[node], self.seconds[node], self.retried[node]
            )
            for node in nodes
        }  # fmt: skip


class Acceptor:
    """Enters outcomes and pulled rows.

    Attributes:
        tally: the counts.
        shard: (number, of how many): only rows of this share of the inputs are there; `None`: all are.
    """

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        dispatcher: Dispatcher,
        router: Router,
        strides: Strides,
        weights: Weights,
    ) -> None:
        self._calls = {number: stage.calls for number, stage in plan.program.stages.items()}
        self._nodes = {number: [call.node for call in calls] for number, calls in self._calls.items()}
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._router = router
        self._retirement = router.retirement
        self._strides = strides
        self._weights = weights
        self.tally = Tally(retried=dispatcher.later.counts)
        self.shard: tuple[int, int] | None = None

    def accept(self, outcome: Outcome) -> None:
        """Enter the outcome of a task."""
        flight = self._dispatcher.land(outcome.task)
        self._count(flight, outcome)
        if flight.fold is not None:
            self._accept_fold(flight, outcome)
        elif flight.generator is not None:
            self._accept_children(flight, outcome)
        else:
            self._accept_batch(flight, outcome)

    def _count(self, flight: Flight, outcome: Outcome) -> None:
        nodes, tally = self._nodes[flight.step.number], self.tally
        for node, calls in zip(nodes, outcome.calls, strict=True):
            tally.done[node] += calls
        if any(outcome.drops):
            for node, drops in zip(nodes, outcome.drops, strict=True):
                tally.dropped[node] += drops
        tally.seconds[nodes[-1]] += outcome.seconds
        if outcome.failures:
            if self._router.recorder is not None:
                self._router.recorder.fail(flight, outcome)
            tally.fail(outcome.failures)

    def _accept_batch(self, flight: Flight, outcome: Outcome) -> None:
        batch, step = flight.batch, flight.step
        if batch is None:
            raise AssertionError("a call without its batch came home")
        self._strides.learn(step, batch.items, outcome.seconds, batch.weigh() + outcome.weigh())
        spans = spans_of(batch.runs)
        holes = self._postpone(step, batch, outcome.again) if outcome.again else None
        for stream, output in zip(step.outputs, outcome.outputs, strict=True):
            self._weights.weigh(stream, output)
            for segment, piece, failed in distribute(output, spans):
                if holes is None:
                    self._router.post(stream, segment, piece, failed)
                    continue
                for part, some in cut_around(piece, failed, holes.get(segment, ())):
                    self._router.post(stream, segment, part, some)

    def _postpone(self, step: Step, batch: Batch, again: list[int]) -> dict[Segment, list[int]]:
        """Keep what is to be tried again later; return which positions that are."""
        call, holes = self._calls[step.number][0], defaultdict[Segment, list[int]](list)
        for run in batch.pick(again):
            tried = run.attempts + 1
            self._dispatcher.later.put(step, run._replace(attempts=tried), call, tried)
            holes[run.segment].append(run.start)
        return holes

    def _hold(self, generator: Generator, outcome: Outcome) -> None:
        """Leave a generator with its worker, unless that has it no more."""
        if generator.finished:
            self._dispatcher.gated.remove(generator)
            self._dispatcher.release(generator)
        elif outcome.again:
            self._postpone_generator(generator)
        elif outcome.finished:  # it had only some of the parents
            self._dispatcher.orphan(generator)

    def _postpone_generator(self, generator: Generator) -> None:
        """Let a generator whose parent at work has failed begin again later."""
        call, place = self._calls[generator.step.number][0], (generator.run, generator.parent)
        tried = generator.attempts[place] = generator.attempts.get(place, 0) + 1
        self._dispatcher.release(generator)
        self._dispatcher.later.put(generator.step, generator, call, tried)

    def _accept_children(self, flight: Flight, outcome: Outcome) -> None:
        generator, step = flight.generator, flight.step
        if generator is None:
            raise AssertionError("a chunk without its generator came home")
        children = step.outputs[0]
        self._ledger.release(children.space, generator.granted)
        generator.granted = 0
        touched = list(generator.accept(outcome))
        self._strides.learn_chunk(step, sum(entry[2] for entry in touched), outcome.seconds)
        self._hold(generator, outcome)
        spans = [(segment, start, start + size) for segment, start, size, _ in touched]
        for _, _, size, _ in touched:
            self._ledger.bear(children.space, size)
        self._weights.weigh(children, outcome.outputs[0])
        for segment, piece, failed in distribute(outcome.outputs[0], spans):
            self._router.post(children, segment, piece, failed)
        for segment, _, _, finished in touched:
            self._router.gathers.grow(segment)
            if segment.parent is not None:
                before = segment.low + len(segment.ends) - finished
                self._retirement.leave(segment.parent, ("use", step), before, before + finished)

    def _accept_fold(self, flight: Flight, outcome: Outcome) -> None:
        step = flight.step
        if flight.fold is None:
            raise AssertionError("a fold without its segment came home")
        segment, stop, done = flight.fold
        state = cast("Folding", segment.states[step])
        self._strides.learn(step, stop - state.at, outcome.seconds, 0)
        state.port.take(state.at, stop)
        begun, before = state.at, state.done
        state.at, state.done, state.accumulator, state.busy = stop, done, outcome.state, False
        if segment.parent is not None and done > before:
            spans = [(segment.parent, segment.low + before, segment.low + done)]
            output = outcome.outputs[0]
            self._weights.weigh(step.outputs[0], output)
            output.valid &= clip_bitmap(segment.valid, before, done)
            for parent, piece, failed in distribute(output, spans):
                self._router.post(step.outputs[0], parent, piece, failed)
        self._retirement.leave(segment, ("use", step), begun, stop)
        if self._router.recorder is not None:
            self._router.recorder.fold(step, segment, before)
        self._router.gathers.advance_fold(step, segment)
        self._retirement.free(segment)

    def accept_rows(self, source: Source, pulled: Pulled) -> None:
        """Enter rows of a source."""
        segment = source.segment
        came = source.asked if pulled.whole else len(pulled.columns[0])
        self._ledger.release(segment.table.space, came)
        if pulled.failure is not None:
            self.tally.fail([pulled.failure])
        failed_at = len(pulled.columns[0]) - 1 if pulled.failure is not None else -1
        if self._router.recorder is not None:
            names = [stream.node for stream in source.step.outputs]
            self._router.recorder.rows(names, source.segment.emitted, pulled)
        pieces = source.accept(pulled)
        if self.shard is not None:
            pieces = [share_of(piece, *self.shard) for piece in pieces]
        if pieces:
            self._ledger.bear(segment.table.space, pieces[0][1] - pieces[0][0])
        for stream, piece in zip(source.step.outputs, pieces, strict=False):
            self.tally.done[stream.node] += piece[1] - piece[0]
            self._weights.weigh_piece(stream, piece)
            self._router.post(stream, segment, piece, 1 << failed_at if failed_at >= 0 else 0)
        self._router.gathers.grow(segment)
        if segment.closed and segment.parent is not None:
            self._retirement.leave(segment.parent, ("use", source.step), 0, 1)
