"""The shapes of small items: functions that do next to nothing, the graphs of them, and what must come out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any

import papympi

ONE, THREE, DIAMOND = "one node", "three nodes", "diamond"


def increment(number):
    return number + 1


def double(number):
    return 2 * number


def negate(number):
    return -number


def add(left, right):
    return left + right


CHAINS = {ONE: (increment,), THREE: (increment, double, negate)}
"""The shapes that are a row of functions."""


def expect(shape: str, items: Iterable[int]) -> list[int]:
    """Return what must come out of a shape."""
    if shape == DIAMOND:
        return [add(double(increment(item)), negate(increment(item))) for item in items]
    column = list(items)
    for function in CHAINS[shape]:
        column = list(map(function, column))
    return column


def build(shape: str, **options: Any) -> papympi.Graph:
    """Return the graph of a shape, whose input is `number`."""
    graph = papympi.Graph("bench")
    if shape == DIAMOND:
        graph.add(increment, inputs={"number": "number"}, pool="pool", **options)
        graph.add(double, inputs={"number": "increment"}, pool="pool", **options)
        graph.add(negate, inputs={"number": "increment"}, pool="pool", **options)
        graph.add(add, inputs={"left": "double", "right": "negate"}, pool="pool", **options)
        return graph
    before = "number"
    for function in CHAINS[shape]:
        graph.add(function, inputs={"number": before}, pool="pool", **options)
        before = function.__name__
    return graph


@contextmanager
def start_run(
    graph: papympi.Graph, items: Iterable[Any], pool: Any, *, results: int, early: int = 1, **options: Any
) -> Iterator[Callable[[], Iterator[Any]]]:
    """Start a run and wait for its first `early` results, so that workers are there; yield what returns all results.

    The workers end afterwards: neither their start nor their end counts, as with the pools of others that stay.
    """
    with papympi.run({"number": items}, graph=graph, pools={"pool": pool}, **options) as running:
        first = deque(islice(running, early))
        yield lambda: chain(let_go(first), islice(running, results - early))
        if list(running):
            raise ValueError("there are more results than there should be")


def let_go(results: deque[Any]) -> Iterator[Any]:
    """Yield results, and keep none that was yielded."""
    while results:
        yield results.popleft()


def serve_ranks(work: Callable[[], dict[str, float]]) -> dict[str, float] | None:
    """Do some work on rank 0 of an MPI job, whose other ranks are papympi's; return what it found, on rank 0."""
    from papympi.runner.launch import rank_main

    found: dict[str, float] = {}

    def main() -> int:
        found.update(work())
        return 0

    rank_main(main)
    return found or None


class Each:
    """A function for batches, made of one for items: for those who have to make batches by hand."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__name__ = f"each_{function.__name__}"

    def __call__(self, *batches: list[Any]) -> list[Any]:
        return list(map(self.function, *batches))


def cut(items: Iterable[Any], stride: int) -> Iterator[list[Any]]:
    """Yield lists of so many consecutive items."""
    rest = iter(items)
    while batch := list(islice(rest, stride)):
        yield batch


def be_busy(seconds: float) -> None:
    """Keep the processor busy for so long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
