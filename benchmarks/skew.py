"""Items of very unequal cost: log-normally distributed, and one in a hundred takes a hundred times the median.

The items sleep, so that the cores of the machine do not matter; a perfect scheduler hands each item, in their order, to
the worker that is free first, and loses no time.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Iterable
from typing import Any

import papympi
from benchmarks.functions import start_run
from benchmarks.harness import Row, Setting, compare, make_row, play
from benchmarks.jobs import Job
from benchmarks.peers import MAPS

GROUP = "skewed work"
WORKERS = 4
MEDIAN_S = 2e-3
WORKLOAD = f"{WORKERS} workers, median {1000 * MEDIAN_S:.0f} ms"
ITEMS = 1500


def take(seconds):
    """Take so long; return how long it was."""
    begun = time.perf_counter()
    time.sleep(seconds)
    return time.perf_counter() - begun


def make_costs(count: int) -> list[float]:
    """Return the seconds of the items, of which the first ones are of median cost."""
    random.seed(count)
    costs = [MEDIAN_S * (100 if random.random() < 0.01 else random.lognormvariate(0, 1)) for _ in range(count)]
    return [MEDIAN_S] * WORKERS + costs


def find_efficiency(taken: Iterable[float], costs: list[float], seconds: float) -> dict[str, float]:
    """Return the time of a perfect scheduler for the items after the first ones, divided by the time it took.

    Raises:
        ValueError: an item is missing, or was not worked on.
    """
    spent = list(taken)
    if len(spent) != len(costs) or any(a < b for a, b in zip(spent, costs, strict=True)):
        raise ValueError("an item was not worked on")
    free = [0.0] * WORKERS
    for cost in spent[WORKERS:]:
        heapq.heappush(free, heapq.heappop(free) + cost)
    return {WORKLOAD: max(free) / seconds}


def measure_papympi(stride: Any, count: int) -> dict[str, float]:
    """Return the efficiency of papympi."""
    costs = make_costs(count)
    graph = papympi.Graph("skew")
    graph.add(take, inputs={"seconds": "number"}, pool="pool", stride=stride)
    with start_run(graph, costs, f"processes:{WORKERS}", results=len(costs)) as read:
        begun = time.perf_counter()
        taken = list(read())
        seconds = time.perf_counter() - begun
    return find_efficiency(taken, costs, seconds)


def measure_peer(peer: str, stride: int, count: int) -> dict[str, float]:
    """Return the efficiency of a peer."""
    costs = make_costs(count)
    with MAPS[peer](WORKERS) as spread:
        first = list(spread(take, 1, costs[:WORKERS]))
        begun = time.perf_counter()
        rest = list(spread(take, stride, costs[WORKERS:]))
        seconds = time.perf_counter() - begun
    return find_efficiency([*first, *rest], costs, seconds)


def run(setting: Setting) -> list[Row]:
    """Return the rows."""
    count = int((ITEMS // 5 if setting.quick else ITEMS) * setting.scale)
    contenders = {
        f"papympi, stride {stride}": Job("benchmarks.skew:measure_papympi", {"stride": stride, "count": count})
        for stride in ("auto", 1)
    }
    pairs = [(name, "a perfect scheduler") for name in contenders]
    for peer, stride in (("ProcessPoolExecutor.map", 1), ("ProcessPoolExecutor.map", 16), ("Pool.imap", 1)):
        name = f"{peer}, stride {stride}"
        pairs.append(("papympi, stride auto", name))
        given = {"peer": peer, "stride": stride, "count": count}
        contenders[name] = Job("benchmarks.skew:measure_peer", given)
    figures = play(contenders, 1 if setting.quick else setting.rounds)
    perfect = {name: [1.0] * len(figures.series(name, WORKLOAD)) for name, _ in pairs}
    return [
        make_row(
            (GROUP, WORKLOAD, "efficiency", *pair),
            figures.series(pair[0], WORKLOAD),
            perfect[pair[0]],
            why=figures.why_not(pair[0]),
        )
        if pair[1] not in contenders
        else compare(figures, GROUP, WORKLOAD, "efficiency", pair)
        for pair in pairs
    ]
