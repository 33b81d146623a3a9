"""A workbench for operators: an engine without loop and scheduler, whose tasks a test takes and brings home by hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from papympi import Graph
from papympi.contracts import Capabilities, Stretch
from papympi.engine.operators.assembly import make_context, make_operators, open_sources
from papympi.engine.operators.protocol import Candidate, InFlightTask, PoolState, WorkerState
from papympi.engine.tally import Tally
from papympi.errors import WorkerLost
from papympi.model.item import DROP, Failure, Key
from papympi.plan.compile import PlanSettings, compile_plan
from papympi.runner.feeds import make_feeds
from papympi.transport.bitmap import is_valid
from papympi.transport.payload import Payload
from papympi.transport.task import KeyRun, Lost, Outcome, Task
from papympi.workers.evaluation.columns import load_column
from papympi.workers.evaluation.evaluate import Evaluator

SECONDS = 0.001
"""What every task is said to have taken: no stride changes."""


class IdlePool:
    """A pool that only says what it is."""

    def __init__(self, workers: int, *, streams: bool) -> None:
        self.name = "pool"
        self.capabilities = Capabilities(streams=streams)
        self.workers = [f"worker {number}" for number in range(workers)]
        self.concurrency, self.places = 1, 2


SHAPE = "no value was kept"
"""Stands for a result of which a store keeps only that it was there."""


class Notebook:
    """A store in dictionaries, which is its own history: nothing is lost, and nothing is written."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self.given: dict[tuple[str, Key], Any] = {}
        self.results: dict[tuple[str, Key], Any] = {}
        self.counts: dict[tuple[str, Key], int] = {}
        self.states: dict[tuple[str, Key], tuple[int, Payload]] = {}
        self.rows: dict[tuple[str, int], Any] = {}

    def has_failed(self, node: str, key: Key) -> bool:
        return any((failure.node, failure.key) == (node, key) for failure in self.failures)

    def keep_results(
        self, node: str, runs: Sequence[KeyRun], bitmaps: tuple[int, int], payload: Payload | None, offset: int
    ) -> None:
        for at, key in enumerate(keys_of(runs) or [()]):
            value = SHAPE if payload is None else payload.values()[offset + at]
            self.results[node, key] = value if is_valid(bitmaps[0], at) else DROP

    def keep_counts(self, node: str, parents: Sequence[KeyRun], counts: Sequence[int]) -> None:
        self.counts.update({(node, key): count for key, count in zip(keys_of(parents) or [()], counts, strict=True)})

    def keep_state(self, node: str, parent: Key, at: int, state: Payload) -> None:
        self.states[node, parent] = (at, state)

    def drop_state(self, node: str, parent: Key) -> None:
        self.states.pop((node, parent), None)

    def keep_failure(self, failure: Failure, given: Sequence[Any] | None) -> None:
        self.failures.append(failure)
        self.given[failure.node, failure.key] = given

    def keep_rows(self, node: str, start: int, values: Sequence[Any]) -> None:
        self.rows.update({(node, start + at): value for at, value in enumerate(values)})

    def check(self) -> None:
        pass

    def stretches(self, node: str, parent: Key | None) -> list[Stretch]:
        """Return each result that was kept as a stretch of its own."""
        found = []
        for (name, key), value in sorted(self.results.items(), key=lambda entry: entry[0]):
            if name == node and (key[:-1] == parent if parent is not None else not key):
                first, payload = key[-1] if key else 0, None if value in (DROP, SHAPE) else Payload([value])
                bits = int(value is not DROP), int(isinstance(value, Failure))
                found.append(Stretch(first, first + 1, *bits, payload, 0))
        return found

    def count(self, node: str, parent: Key) -> int | None:
        return self.counts.get((node, parent))

    def parents(self, node: str, above: Key | None) -> list[int]:
        keys = [key for name, key in self.counts if name == node]
        if above is None:
            return [0 for key in keys if not key]
        return [key[-1] for key in keys if key and key[:-1] == above]

    def state(self, node: str, parent: Key) -> tuple[int, Payload] | None:
        return self.states.get((node, parent))


def keys_of(runs: Sequence[KeyRun]) -> list[Key]:
    """Return the keys that runs stand for, one by one."""
    return [(*parent, first + at) for parent, first, count in runs for at in range(count)]


@dataclass(eq=False)
class Job:
    """A task that a test has taken from an operator."""

    in_flight: InFlightTask
    task: Task

    @property
    def keys(self) -> list[Key]:
        """Its keys, those of dropped positions among them."""
        return keys_of(self.task.keys)

    @property
    def values(self) -> list[Any]:
        """What its first column has, `DROP` where nothing is there; gathered lists without what was dropped."""
        return self.column(0)

    def column(self, number: int) -> list[Any]:
        """Return what a column has, `DROP` where nothing is there."""
        loaded = load_column(self.task.columns[number], lambda payload: payload.values())
        return [value if is_valid(self.task.valid, at) else DROP for at, value in enumerate(loaded)]


@dataclass
class Workbench:
    """The operators of a graph, with rows behind its sources.

    Attributes:
        graph, rows, targets: what is run on what, and for what.
        strides: by node or for all.
        admission: how many items may be in the graph at once.
        quota: how many items a producer emits at a time.
        fusion: nodes may share stages.
        history: what an earlier attempt has noted.
        shard, blocks: of the sources; `None`: a thread reads what may block.
        streams: of the pool.
    """

    graph: Graph
    rows: Mapping[str, Sequence[Any]]
    targets: Sequence[str] | None = None
    strides: Mapping[str, int] = field(default_factory=lambda: {"*": 2})
    admission: int = 1000
    quota: int = 100
    fusion: bool = False
    history: Notebook | None = None
    shard: tuple[int, int] | None = None
    blocks: bool | None = None
    streams: bool = True

    def __post_init__(self) -> None:
        made = PlanSettings(default_pool="pool", strides=self.strides, fusion=self.fusion, journal=True)
        self.plan = compile_plan(self.graph, self.targets, settings=made)
        pool = IdlePool(2, streams=self.streams)
        self.store, self.tally, self.wakes = Notebook(), Tally(), []
        self.context = make_context(
            self.plan, {"pool": pool}, self.tally, self.admission, 1 << 40,
            store=self.store, history=self.history, ordered=False,
        )  # fmt: skip
        self.accounts, self.retries = self.context.accounts, self.context.retries
        operators = make_operators(self.context)
        self.feeds, _ = make_feeds(self.plan, self.rows)
        for feed in self.feeds.values():
            feed.blocks = feed.blocks if self.blocks is None else self.blocks
        wake = lambda: self.wakes.append(True)  # noqa: E731 - one line says it
        self.unit, self.sources = open_sources(self.context, self.feeds, self.shard, wake)
        self.operators = {operator.step.outputs[0].node: operator for operator in [*self.sources, *operators]}
        quotas = {step: self.quota for step in self.plan.steps if step.is_producer}
        self.context.admission.resize(self.admission, dict.fromkeys(self.plan.spaces, 10**6), quotas)
        state = PoolState(pool, 4)
        state.workers = [WorkerState(state, number) for number in range(2)]
        self.workers = state.workers
        self.evaluators = [Evaluator(self.plan.program, label) for label in pool.workers]
        self._numbers = itertools.count(1)

    def __getitem__(self, node: str) -> Any:
        return self.operators[node]

    def close(self) -> None:
        """Let go of generators and of sources."""
        for part in [*self.evaluators, *self.sources]:
            part.close()

    def pull(self) -> None:
        """Let the sources give what they may, as when the consumer has asked for something."""
        self.accounts.emitted = 0
        for source in self.sources:
            source.pull()
        self.context.router.settle()

    def offers(self, node: str) -> list[Candidate]:
        """Return what any worker could do for an operator now."""
        return list(self[node].candidates())

    def begin(self, node: str, worker: int = 0, candidate: Candidate | None = None) -> Job:
        """Take the task of a candidate, or of the first that there is."""
        chosen = candidate or self.offers(node)[0]
        job = Job(*self[node].next_task(self.workers[worker], chosen.work, next(self._numbers)))
        self.context.router.settle()
        return job

    def evaluate(self, job: Job) -> Outcome:
        """Do a task as its worker would."""
        outcome = self.evaluators[job.in_flight.worker.number].run(job.task)
        outcome.seconds = SECONDS
        return outcome

    def finish(self, job: Job, outcome: Outcome | None = None) -> Outcome:
        """Bring a task home, with an outcome made by hand or its worker's own."""
        outcome = outcome or self.evaluate(job)
        job.in_flight.operator.accept(job.in_flight, outcome)
        self.context.router.settle()
        return outcome

    def lose(self, job: Job, **known: Any) -> None:
        """Lose the worker of a task that was at it; `known` is what it could say of that."""
        worker = job.in_flight.worker.number
        lost = Lost(worker, WorkerLost(f"worker {worker}", "lost"), job.task.id, **known)
        job.in_flight.operator.take_back(job.in_flight, lost)
        self.context.router.settle()

    def requeue(self, job: Job) -> None:
        """Lose the worker of a task that was not at it."""
        job.in_flight.operator.take_back(job.in_flight, None)
        self.context.router.settle()

    def work(self, *nodes: str) -> None:
        """Do all that there is to do for some operators, in this order."""
        for node in nodes:
            while True:
                own = [suspended.candidate() for suspended in self.workers[0].held]
                found = [each for each in own if each and each.operator is self[node]] + self.offers(node)
                if not found:
                    break
                self.finish(self.begin(node, candidate=found[0]))

    def retry(self) -> None:
        """Make everything ready that waits to be tried again."""
        for operator, work in self.retries.take():
            operator.retry(work)
        self.context.router.settle()

    @property
    def made(self) -> dict[tuple[str, Key], Any]:
        """What targets have got so far, by node and key; `DROP` where an item was dropped."""
        names = {stream.node for stream in self.plan.targets}
        return {place: value for place, value in self.store.results.items() if place[0] in names}

    @property
    def delivered(self) -> dict[Key, Any]:
        """What the consumer would get, of whatever target, whether it was made in this attempt or not."""
        found = {}
        for _, segment, (start, stop, payload, offset, valid) in self.context.router.deliveries:
            for at in range(stop - start):
                if is_valid(valid, at):
                    found[segment.key(start + at)] = payload.values()[offset + at]
        return found


@pytest.fixture
def open_bench() -> Iterator[Any]:
    """Return what makes a workbench; it is closed at the end of the test."""
    made: list[Workbench] = []

    def open_one(graph: Graph, rows: Mapping[str, Sequence[Any]], **options: Any) -> Workbench:
        made.append(Workbench(graph, rows, **options))
        return made[-1]

    yield open_one
    for bench in made:
        bench.close()
