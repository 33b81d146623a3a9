"""Peak memory of the runner and of its largest worker, for short and for long inputs: they must be the same.

Besides: how much of an endless input is pulled while the consumer is away.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import papympi
from benchmarks.functions import increment
from benchmarks.harness import Figures, Row, Setting, compare, make_row, play
from benchmarks.jobs import Job

GROUP = "memory"
WORKLOADS = ("flat", "endless", "scatter")
AWAY_S = 0.5
AHEAD = "inputs pulled while the consumer is away"
PEER_STRIDE = 64


def increase(value):
    """Return the next number."""
    return value + 1


def double(increase):
    """Return twice the number."""
    return 2 * increase


def decrease(double):
    """Return the number before."""
    return double - 1


def children(value):
    """Scatter a number into those below it."""
    yield from range(value)


def total(so_far, double):
    """Add up numbers."""
    return so_far + double


def build(workload: str, count: int) -> tuple[papympi.Graph, Iterable[int], int]:
    """Return the graph of a workload, its input, and what its results add up to."""
    graph = papympi.Graph("memory")
    if workload == "scatter":
        graph.add(children, pool="pool")
        graph.add(increase, inputs={"value": "children"}, pool="pool")
        graph.add(double, pool="pool", fuse=False)
        graph.add(total, pool="pool", fold=int)
        return graph, [count], count * (count + 1)
    graph.add(increase, pool="pool")
    graph.add(double, pool="pool", fuse=False)
    graph.add(decrease, pool="pool", fuse=False)
    return graph, itertools.count() if workload == "endless" else range(count), count * count


def measure(workload: str, count: int, pool: str) -> dict[str, float]:
    """Return the peaks of the runner and of its largest worker, in MB, of a workload of so many items.

    Raises:
        ValueError: the results are wrong.
    """
    import psutil

    graph, values, expected = build(workload, count)
    checksum, largest, family = 0, 0.0, []
    running = papympi.run({"value": values}, graph=graph, pools={"pool": pool})
    for number, result in enumerate(running, 1):
        checksum += result
        if number == 1:
            family = psutil.Process().children(recursive=True)
            largest = find_largest(family)  # the workers of a run that is over are gone
        if number == count:
            break
    largest = max(largest, find_largest(family))
    running.close()
    if checksum != expected:
        raise ValueError(f"{workload}: the results are wrong: {checksum}, not {expected}")
    return {f"{workload}, runner": read_peak_mb("self"), f"{workload}, worker": largest}


def measure_executor(count: int) -> dict[str, float]:
    """Return the peak of a process that maps as many items with `ProcessPoolExecutor.map`, in MB.

    Raises:
        ValueError: the results are wrong.
    """
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(2) as executor:
        checksum = sum(executor.map(increment, range(count), chunksize=PEER_STRIDE))
    if checksum != count * (count + 1) // 2:
        raise ValueError("the results are wrong")
    return {"flat, runner": read_peak_mb("self")}


def measure_ahead(peer: str) -> dict[str, float]:
    """Return how many inputs are pulled while the consumer has taken one result and is away."""
    pulled = 0

    def source() -> Iterator[int]:
        nonlocal pulled
        for number in itertools.count():
            pulled = number
            yield number

    def wait_for(results: Iterator[Any]) -> dict[str, float]:
        first = next(results)
        time.sleep(AWAY_S)
        if first != increment(0):
            raise ValueError("the first result is wrong")
        return {AHEAD: float(pulled)}

    if peer == "papympi":
        with papympi.map(increment, source(), pool="processes:2", stride=PEER_STRIDE) as running:
            return wait_for(iter(running))
    import multiprocessing

    with multiprocessing.Pool(2) as pool:
        return wait_for(pool.imap(increment, source(), chunksize=PEER_STRIDE))


def find_largest(family: Iterable[Any]) -> float:
    """Return the most memory that any of some processes ever had, in MB."""
    return max((read_peak_mb(process.pid) for process in family), default=0.0)


def read_peak_mb(pid: int | str) -> float:
    """Return the most memory that a process ever had, in MB; 0 if it is gone."""
    try:
        with Path(f"/proc/{pid}/status").open(encoding="ascii") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    except (FileNotFoundError, ProcessLookupError, StopIteration):
        return 0.0


def name_count(count: int) -> str:
    """Return a count as people write it."""
    return f"10^{len(str(count)) - 1}" if str(count).strip("0") == "1" else f"{count:,}"


def run(setting: Setting) -> list[Row]:
    """Return the rows."""
    counts = [int(count * setting.scale) for count in ((10**5, 10**6) if setting.quick else (10**5, 10**6, 10**7))]
    played = {
        (workload, count): Job(
            "benchmarks.memory:measure", {"workload": workload, "count": count, "pool": "processes:2"}
        )
        for workload in (("flat", "scatter") if setting.quick else WORKLOADS)
        for count in counts
    }
    figures = play({f"{workload}, {name_count(count)}": job for (workload, count), job in played.items()}, 1)
    rows = []
    for workload, count in played:
        if count != counts[0]:
            rows += [compare_counts(figures, workload, who, (count, counts[0])) for who in ("runner", "worker")]
    peers = {
        "papympi": Job("benchmarks.memory:measure", {"workload": "flat", "count": counts[1], "pool": "processes:2"})
    }
    peers["ProcessPoolExecutor.map"] = Job("benchmarks.memory:measure_executor", {"count": counts[1]})
    beside = play(peers, 1)
    row = compare(beside, GROUP, "flat, runner", "MB", ("papympi", "ProcessPoolExecutor.map"), lower=True)
    ahead = {peer: Job("benchmarks.memory:measure_ahead", {"peer": peer}) for peer in ("papympi", "Pool.imap")}
    return [*rows, row, compare(play(ahead, 1), GROUP, AHEAD, "items", ("papympi", "Pool.imap"), lower=True)]


def compare_counts(figures: Figures, workload: str, who: str, counts: tuple[int, int]) -> Row:
    """Return the row of a long input beside a short one."""
    names = [f"{workload}, {name_count(count)}" for count in counts]
    ours, theirs = (figures.series(name, f"{workload}, {who}") for name in names)
    labels = (
        GROUP,
        f"{workload}, {who} at {name_count(counts[0])}",
        "MB",
        "papympi",
        f"papympi at {name_count(counts[1])}",
    )
    why = next((figures.failed[name] for name in names if name in figures.failed), "no worker was seen")
    return make_row(labels, ours, theirs, why=why, lower=True)
