"""One big item: scattered into numbers, which are increased on all workers, and gathered again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import papympi
from benchmarks.functions import increment, start_run
from benchmarks.harness import Row, Setting, check, compare, play, rate
from benchmarks.jobs import Job
from benchmarks.peers import MAPS, STANDARD
from benchmarks.small import USUAL, WORKERS

GROUP = "scatter and gather of one item"
STRIDE = 64
MOST = 1_000_000


def children(number):
    """Scatter a number into those below it."""
    yield from range(number)


def total(increment):
    """Gather the sum."""
    return sum(increment)


def expect_total(count: int) -> int:
    """Return what the total of the increased children is."""
    return count * (count + 1) // 2


def measure_papympi(pool: str, fold: bool, seconds: float, most: int) -> dict[str, float]:
    """Return children a second of papympi; the clock runs for a second item, when the workers are there."""
    graph = papympi.Graph("scatter")
    graph.add(children, pool="pool", inputs={"number": "number"}, stride=STRIDE)
    graph.add(increment, pool="pool", inputs={"number": "children"}, stride=STRIDE)
    if fold:
        graph.add(add_up, name="total", pool="pool", inputs={"increment": "increment"}, fold=int)
    else:
        graph.add(total, pool="pool", gather=True)

    @contextmanager
    def prepare(count: int) -> Iterator[Callable[[], None]]:
        with start_run(graph, [STRIDE, count], pool, results=2) as read:
            yield lambda: check(read(), [expect_total(STRIDE), expect_total(count)])

    return {name_of(fold): rate(prepare, seconds, least=min(most, int(USUAL * seconds)), most=most)}


def add_up(so_far, increment):
    """Fold into the sum."""
    return so_far + increment


def measure_peer(peer: str, seconds: float, most: int) -> dict[str, float]:
    """Return children a second of a map over what is scattered by hand."""
    with MAPS[peer](WORKERS) as spread:
        list(spread(increment, 1, range(4)))

        def prepare(count: int) -> AbstractContextManager[Callable[[], None]]:
            return nullcontext(lambda: check([sum(spread(increment, STRIDE, children(count)))], [expect_total(count)]))

        found = rate(prepare, seconds, least=16 * STRIDE, most=most)
    return {name_of(fold): found for fold in (False, True)}


def name_of(fold: bool) -> str:
    """Return what a workload is called in the table."""
    return f"{'scatter, map, fold' if fold else 'scatter, map, gather'}, stride {STRIDE}"


def run(setting: Setting) -> list[Row]:
    """Return the rows."""
    limits = {"seconds": setting.seconds, "most": int(MOST * setting.scale)}
    pool = f"processes:{WORKERS}"
    contenders = {
        ours: Job("benchmarks.scatter:measure_papympi", {"pool": pool, "fold": fold, **limits})
        for ours, fold in (("papympi", False), ("papympi, fold", True))
    }
    peers = STANDARD if setting.quick or setting.peers == "standard" else tuple(MAPS)
    contenders |= {peer: Job("benchmarks.scatter:measure_peer", {"peer": peer, **limits}) for peer in peers}
    figures = play(contenders, 1 if setting.quick else setting.rounds)
    return [
        compare(figures, GROUP, name_of(fold), "children/s", (ours, peer))
        for ours, fold in (("papympi", False), ("papympi, fold", True))
        for peer in peers
    ]
