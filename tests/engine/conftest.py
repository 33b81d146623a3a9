"""What tests of the engine's parts share: small graphs compiled, and the parts that such a plan is run with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytest

from papympi import Graph
from papympi.contracts import Capabilities, Stretch
from papympi.engine.index.chunks import Chunk
from papympi.engine.index.segment import Segment, open_segment
from papympi.engine.operators.assembly import make_context, make_operators
from papympi.engine.operators.protocol import Operator, RunContext
from papympi.engine.tally import Tally
from papympi.model.item import Failure, Key
from papympi.plan.compile import PlanSettings, compile_plan
from papympi.plan.plan import Plan, Space, Step, Stream
from papympi.transport.bitmap import FULL
from papympi.transport.payload import Payload


def _scatter(*values: Any) -> Iterator[Any]:
    yield values


def _fold(total: Any, *values: Any) -> Any:
    return total


def _map(*values: Any) -> Any:
    return values


class IdlePool:
    """A pool that takes everything and brings nothing home."""

    concurrency, places = 1, 2

    def __init__(self, workers: int = 2, *, shares_memory: bool = True) -> None:
        self.name, self.workers = "pool", [f"pool[{number}]" for number in range(workers)]
        self.capabilities = Capabilities(shares_memory=shares_memory)

    def collect(self) -> list[Any]:
        return []

    def fileno(self) -> None:
        return None

    def deadline(self) -> None:
        return None


@dataclass
class Small:
    """A small plan; its steps, streams and spaces by the names of nodes."""

    plan: Plan

    def stream(self, name: str) -> Stream:
        return next(stream for step in self.plan.steps for stream in step.outputs if stream.node == name)

    def step(self, name: str) -> Step:
        return next(step for step in self.plan.steps if self.stream(name) in step.outputs)

    def space(self, name: str) -> Space:
        return self.stream(name).space

    def parts(self, **options: Any) -> Parts:
        """Return what runs it, but for sources and pools."""
        return Parts(self, options)


@dataclass
class Parts:
    """The parts of an engine that has neither sources nor pools: tests play those.

    `options` are those of `make_context`: bound, bytes_bound, store, history, ordered.
    """

    small: Small
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        options = {"bound": 100, "bytes_bound": 1 << 40, "store": None, "history": None, "ordered": True}
        options |= self.options
        positional = options.pop("bound"), options.pop("bytes_bound")
        self.tally = Tally()
        self.context: RunContext = make_context(
            self.small.plan, {"pool": IdlePool()}, self.tally, *positional, **options
        )
        self.operators: dict[Step, Operator] = {each.step: each for each in make_operators(self.context)}
        self.unit = Segment(self.context.layout.spaces[self.small.plan.spaces[0]], None, 0, 1)
        self.unit.emitted, self.unit.closed = 1, True

    @cached_property
    def rows(self) -> Segment:
        """The segment of the rows, opened as a source opens it."""
        step = next(step for step in self.small.plan.steps if step.is_source)
        self.row_holder = self.context.layout.hold(step)
        return self.open(step.outputs[0].node, self.unit, 0, 1)

    def open(self, name: str, parent: Segment, low: int, high: int, valid: int = FULL) -> Segment:
        """Return a segment of the space of a node for the children of low..high."""
        return open_segment(self.context.layout.spaces[self.small.space(name)], parent, low, high, valid)

    def operator(self, name: str) -> Any:
        return self.operators[self.small.step(name)]

    def post(self, name: str, segment: Segment, chunk: Chunk, failed: int = 0) -> None:
        """Send a chunk of a node's results on its way, and let everything that follows happen."""
        self.context.router.post(self.small.stream(name), segment, chunk, failed)
        self.context.router.settle()

    def grow(self, segment: Segment, *ends: int, closed: bool = False) -> None:
        """Finish parents of a segment, whose children end at `ends`, and tell whom it concerns."""
        segment.ends += ends
        segment.emitted = max([segment.emitted, *ends])
        segment.closed = closed
        self.context.router.grow(segment)
        self.context.router.settle()


class Known:
    """A history that is written by hand: results and counts and states by (node, parent)."""

    def __init__(
        self,
        results: dict[tuple[str, Key | None], list[Stretch]] | None = None,
        counts: dict[tuple[str, Key], int] | None = None,
        states: dict[tuple[str, Key], tuple[int, Payload]] | None = None,
        failures: list[Failure] | None = None,
    ) -> None:
        self.results, self.counts, self.states = results or {}, counts or {}, states or {}
        self.failures = failures or []

    def has_failed(self, node: str, key: Key) -> bool:
        return any((failure.node, failure.key) == (node, key) for failure in self.failures)

    def stretches(self, node: str, parent: Key | None) -> list[Stretch]:
        return self.results.get((node, parent), [])

    def count(self, node: str, parent: Key) -> int | None:
        return self.counts.get((node, parent))

    def parents(self, node: str, above: Key | None) -> list[int]:
        if above is None:
            return [0] if (node, ()) in self.counts else []
        return [key[-1] for name, key in self.counts if name == node and key[:-1] == above and key]

    def state(self, node: str, parent: Key) -> tuple[int, Payload] | None:
        return self.states.get((node, parent))


@pytest.fixture(scope="session")
def compiled() -> Callable[..., Small]:
    """Return what compiles a small graph: `compiled(child="scatter x", pair="map child x", pairs="group:2 child")`.

    A node may have options of `@node`, too: `child=("map x", {"retries": 2})`. Nothing is fused.
    """

    def compile_small(targets: list[str] | None = None, *, journal: bool = False, **nodes: Any) -> Small:
        graph = Graph("small")
        for name, said in nodes.items():
            text, options = said if isinstance(said, tuple) else (said, {})
            kind, *inputs = text.split()
            kind, _, size = kind.partition(":")
            function, more = {
                "map": (_map, {}),
                "scatter": (_scatter, {}),
                "gather": (_map, {"gather": True}),
                "group": (_map, {"gather": int(size or 1)}),
                "fold": (_fold, {"fold": list}),
            }[kind]
            graph.add(function, name=name, inputs={"values": inputs}, pool="pool", **{"stride": 1, **more, **options})
        return Small(compile_plan(graph, targets, settings=PlanSettings(fusion=False, journal=journal)))

    return compile_small


@pytest.fixture(scope="session")
def known() -> type[Known]:
    """Return the class of histories that are written by hand."""
    return Known
