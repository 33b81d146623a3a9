"""Many small items through one node, three nodes and a diamond of four, on two processes and on two MPI ranks.

The clock runs on workers that are there already. Whoever makes no batches is given lists.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from benchmarks.frameworks import CHAINS_ONLY, FRAMEWORKS
from benchmarks.functions import DIAMOND, ONE, THREE, build, expect, serve_ranks, start_run
from benchmarks.goals import SMALL, SMALL_MPI
from benchmarks.harness import Figures, Row, Setting, check, compare, make_row, play, rate
from benchmarks.jobs import Job
from benchmarks.peers import MAPS, STANDARD, Shaped, shape_maps

WORKERS = 2
MOST = 1_000_000
USUAL = 200_000
"""About how many items a second to expect of papympi: it is started once for each try."""
STRIDES = (1, 64, 512)
RECORDED_NUMAP = 24_000.0
"""Items a second that NuMap, PaPy's pool, was recorded with at stride 512."""
Workload = tuple[str, Any]
"""A shape and a stride."""


def name_of(shape: str, stride: Any) -> str:
    """Return what a workload is called in the table."""
    return f"{shape}, stride {stride}"


def measure_papympi(workloads: list[Workload], pool: Any, seconds: float, most: int) -> dict[str, float]:
    """Return items a second of papympi."""

    @contextmanager
    def prepare(shape: str, stride: Any, count: int) -> Iterator[Callable[[], None]]:
        expected = expect(shape, range(count))
        with start_run(build(shape, stride=stride), range(count), pool, results=count) as read:
            yield lambda: check(read(), expected)

    return measure_all(workloads, prepare, seconds, most, least=min(most, int(USUAL * seconds)))


def measure_papympi_ranks(**arguments: Any) -> dict[str, float] | None:
    """Return items a second of papympi, on ranks that are there."""
    return serve_ranks(lambda: measure_papympi(**arguments))


def measure_peer(workloads: list[Workload], peer: str, seconds: float, most: int) -> dict[str, float]:
    """Return items a second of a peer."""
    if peer in MAPS:
        with MAPS[peer](WORKERS) as spread:
            return measure_shaped(workloads, shape_maps(spread), seconds, most)
    with FRAMEWORKS[peer](WORKERS) as compute:
        return measure_shaped(workloads, compute, seconds, most)


def measure_mpi4py(workloads: list[Workload], seconds: float, most: int) -> dict[str, float] | None:
    """Return items a second of mpi4py.futures, on ranks that are there."""
    from mpi4py.futures import MPICommExecutor

    with MPICommExecutor() as executor:
        if executor is None:
            return None

        def spread(function: Callable[..., Any], stride: int, *columns: Any) -> Any:
            return executor.map(function, *columns, chunksize=stride)

        return measure_shaped(workloads, shape_maps(spread), seconds, most)


def measure_shaped(workloads: list[Workload], compute: Shaped, seconds: float, most: int) -> dict[str, float]:
    """Return items a second of what computes shapes on workers that stay."""
    list(compute(ONE, range(4 * WORKERS), 1))

    def prepare(shape: str, stride: int, count: int) -> AbstractContextManager[Callable[[], None]]:
        expected = expect(shape, range(count))
        return nullcontext(lambda: check(compute(shape, range(count), stride), expected))

    return measure_all(workloads, prepare, seconds, most)


def measure_all(
    workloads: list[Workload],
    prepare: Callable[..., AbstractContextManager[Any]],
    seconds: float,
    most: int,
    least: int = 16,
) -> dict[str, float]:
    """Return the rate of each workload, tried with at least so many items."""
    found = {}
    for shape, stride in workloads:
        first = max(least, 16 * (stride if isinstance(stride, int) else 64))
        found[name_of(shape, stride)] = rate(
            lambda count, shape=shape, stride=stride: prepare(shape, stride, count), seconds, least=first, most=most
        )
    return found


def choose_workloads(setting: Setting) -> list[Workload]:
    """Return the fixed strides of each shape."""
    if setting.quick:
        return [*((ONE, stride) for stride in STRIDES), (THREE, 64), (DIAMOND, 64)]
    return [(shape, stride) for shape in (ONE, THREE, DIAMOND) for stride in STRIDES]


def run(setting: Setting) -> list[Row]:
    """Return the rows of processes."""
    workloads, most = choose_workloads(setting), int(MOST * setting.scale)
    limits = {"seconds": setting.seconds, "most": most}
    autos = [(shape, "auto") for shape, stride in workloads if stride == 64]
    few = [(ONE, 64), (THREE, 1), (THREE, 64)] if setting.quick else [pair for pair in workloads if pair[1] != 512]
    ours = {
        "workloads": list(dict.fromkeys([*workloads, (THREE, 1), *autos])),
        "pool": f"processes:{WORKERS}",
        **limits,
    }
    contenders = {"papympi": Job("benchmarks.small:measure_papympi", ours)}
    contenders["socket pairs"] = Job("benchmarks.limits:measure_sockets", {"strides": STRIDES, **limits})
    rounds = dict.fromkeys(contenders, setting.rounds)
    for peer in STANDARD if setting.peers == "standard" else (*MAPS, *FRAMEWORKS):
        given = (
            workloads if peer in STANDARD else [pair for pair in few if peer not in CHAINS_ONLY or pair[0] != DIAMOND]
        )
        contenders[peer] = Job("benchmarks.small:measure_peer", {"workloads": given, "peer": peer, **limits})
        rounds[peer] = setting.rounds if peer in STANDARD else setting.slow_rounds
    figures = play(contenders, rounds)
    return [
        *pair_up(figures, SMALL, ["papympi"], contenders),
        *compare_auto(figures, SMALL, workloads),
        *recall(figures),
    ]


def run_mpi(setting: Setting) -> list[Row]:
    """Return the rows of MPI."""
    if setting.peers == "standard":
        return []
    workloads = choose_workloads(setting)
    limits = {"seconds": setting.seconds, "most": int(MOST * setting.scale)}
    ours = [*workloads, *((shape, "auto") for shape, stride in workloads if stride == 64)]
    pools = {"papympi": False, "papympi, isolated": True}
    contenders = {
        name: Job(
            "benchmarks.small:measure_papympi_ranks",
            {"workloads": ours, "pool": {"backend": "mpi", "isolate": isolate}, **limits},
            ranks=WORKERS + 1,
        )
        for name, isolate in pools.items()
    }
    contenders["MPI loop"] = Job("benchmarks.limits:measure_ranks", {"strides": STRIDES, **limits}, ranks=WORKERS + 1)
    contenders["mpi4py.futures"] = Job(
        "benchmarks.small:measure_mpi4py", {"workloads": workloads, **limits}, ranks=WORKERS + 1
    )
    figures = play(contenders, setting.rounds)
    return [*pair_up(figures, SMALL_MPI, list(pools), contenders), *compare_auto(figures, SMALL_MPI, workloads)]


def pair_up(figures: Figures, group: str, ours: list[str], contenders: dict[str, Job]) -> list[Row]:
    """Return a row for each workload of each peer, and one for each peer that failed."""
    rows = []
    for peer in contenders:
        if peer in ours:
            continue
        names = list(figures.reached.get(peer, ())) or ["all workloads"]
        rows += [compare(figures, group, name, "items/s", (own, peer)) for own in ours for name in names]
    return rows


def compare_auto(figures: Figures, group: str, workloads: list[Workload]) -> list[Row]:
    """Return how papympi's own stride does beside the best fixed one."""
    rows = []
    for shape in dict.fromkeys(shape for shape, _ in workloads):
        fixed = [figures.series("papympi", name_of(*pair)) for pair in workloads if pair[0] == shape]
        best = max(fixed, key=lambda series: statistics.median(series or [0.0]))
        labels = (group, shape, "items/s", "papympi, auto stride", "papympi, best fixed stride")
        auto = figures.series("papympi", name_of(shape, "auto"))
        rows.append(make_row(labels, auto, best, why=figures.why_not("papympi")))
    return rows


def recall(figures: Figures) -> list[Row]:
    """Return how papympi does beside what was recorded of its ancestor, on another machine."""
    name = name_of(ONE, 512)
    found = figures.series("papympi", name)
    labels = (SMALL, name, "items/s", "papympi", "NuMap (recorded)")
    return [make_row(labels, found, [RECORDED_NUMAP] * len(found), why=figures.why_not("papympi"))]
