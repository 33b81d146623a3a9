"""How long one waits: for the first result from the start of the interpreter, and for one item through three nodes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import papympi
from benchmarks.frameworks import FRAMEWORKS
from benchmarks.functions import ONE, THREE, build, expect, increment, serve_ranks
from benchmarks.harness import Figures, Row, Setting, check, compare, play
from benchmarks.jobs import Job, seconds_since_start
from benchmarks.peers import MAPS, STANDARD, Shaped, shape_maps
from benchmarks.small import WORKERS

GROUP = "latency"
COLD, WARM = "first result from the start of the interpreter", "one item through three nodes, warm"
ITEMS = 10
WAITS = 200
"""How often the latency of one item is taken; slow peers take it for a second at most."""
OURS = {
    "papympi, inline": {"pool": "inline"},
    "papympi, processes": {"pool": f"processes:{WORKERS}"},
    "papympi, processes, not fused": {"pool": f"processes:{WORKERS}", "fusion": False},
    "papympi, mpi": {"pool": f"mpi:{WORKERS}"},
}


def measure_papympi(pool: Any, fusion: bool = True, *, cold: bool = True) -> dict[str, float]:
    """Return both latencies of papympi; the warm one with one item in the graph at a time."""
    found = {}
    if cold:
        with papympi.map(increment, range(ITEMS), pool=pool) as running:
            first = next(running)
            found[COLD] = seconds_since_start()
            check([first, *running], expect(ONE, range(ITEMS)))
    items = range(WAITS + 20)
    with papympi.run(
        {"number": items}, graph=build(THREE), pools={"pool": pool}, admission=1, fusion=fusion
    ) as running:
        check([next(running) for _ in range(20)], expect(THREE, items[:20]))
        found[WARM] = time_items(lambda _: next(running), expect(THREE, items)[20:])
    return found


def measure_papympi_ranks(isolate: bool) -> dict[str, float] | None:
    """Return the warm latency of papympi on ranks that are there."""
    return serve_ranks(lambda: measure_papympi({"backend": "mpi", "isolate": isolate}, cold=False))


def time_items(compute: Callable[[int], int], expected: list[int]) -> float:
    """Return the median seconds that one result takes."""
    times, found, end = [], [], time.monotonic() + 1
    for number in range(len(expected)):
        begun = time.perf_counter()
        found.append(compute(number))
        times.append(time.perf_counter() - begun)
        if time.monotonic() > end:
            break
    check(found, expected[: len(found)])
    return statistics.median(times)


def measure_peer(peer: str) -> dict[str, float]:
    """Return both latencies of a peer."""
    if peer in FRAMEWORKS:
        with FRAMEWORKS[peer](WORKERS) as compute:
            return measure_shaped(compute)
    with MAPS[peer](WORKERS) as spread:
        return measure_shaped(shape_maps(spread))


def measure_mpi4py() -> dict[str, float] | None:
    """Return both latencies of mpi4py.futures."""
    from mpi4py.futures import MPICommExecutor

    with MPICommExecutor() as executor:
        if executor is None:
            return None
        return measure_shaped(
            shape_maps(lambda function, stride, *columns: executor.map(function, *columns, chunksize=stride))
        )


def measure_shaped(compute: Shaped) -> dict[str, float]:
    """Return both latencies of what computes shapes."""
    results = iter(compute(ONE, range(ITEMS), 1))
    first = next(results)
    found = {COLD: seconds_since_start()}
    check([first, *results], expect(ONE, range(ITEMS)))
    list(compute(THREE, range(ITEMS), 1))

    def one(number: int) -> int:
        results: Iterable[int] = compute(THREE, [number], 1)
        return next(iter(results))

    return found | {WARM: time_items(one, expect(THREE, range(WAITS)))}


def run(setting: Setting) -> list[Row]:
    """Return the rows."""
    contenders = {name: Job("benchmarks.latency:measure_papympi", given) for name, given in OURS.items()}
    peers = list(STANDARD) if setting.peers == "standard" else [*MAPS, *([] if setting.quick else FRAMEWORKS)]
    if setting.peers == "standard":
        del contenders["papympi, mpi"]
    else:
        contenders["papympi, mpi, ranks there"] = Job(
            "benchmarks.latency:measure_papympi_ranks", {"isolate": False}, ranks=WORKERS + 1
        )
        contenders["mpi4py.futures"] = Job("benchmarks.latency:measure_mpi4py", ranks=WORKERS + 1)
    contenders |= {peer: Job("benchmarks.latency:measure_peer", {"peer": peer}) for peer in peers}
    rounds = {name: setting.slow_rounds if name in FRAMEWORKS else setting.rounds for name in contenders}
    return make_rows(
        play(contenders, rounds), [*peers, *(["mpi4py.futures"] if "mpi4py.futures" in contenders else [])]
    )


def make_rows(figures: Figures, peers: list[str]) -> list[Row]:
    """Return the rows of all pairs that belong together."""
    rows = []
    for peer in peers:
        ranks = peer == "mpi4py.futures"
        rows.append(
            compare(figures, GROUP, COLD, "s", ("papympi, mpi" if ranks else "papympi, processes", peer), lower=True)
        )
        warm = ["papympi, mpi, ranks there"] if ranks else ["papympi, processes", "papympi, processes, not fused"]
        rows += [compare(figures, GROUP, WARM, "s", (ours, peer), lower=True) for ours in warm]
    rows.append(compare(figures, GROUP, COLD, "s", ("papympi, inline", "ProcessPoolExecutor.map"), lower=True))
    return rows
