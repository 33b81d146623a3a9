"""Peak memory of the runner and of its largest worker, for short and for long inputs: they must be the same.

Usage: python benchmarks/bench_memory.py [POOL] [SHORT LONG]
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from pathlib import Path

WORKLOADS = ("flat", "endless", "scatter")


def measure(workload: str, count: int, pool: str) -> tuple[float, float, float]:
    """Return the peak of the runner and of its largest worker, in MB, and the seconds taken, in a fresh process."""
    argv = [sys.executable, __file__, "--one", workload, str(count), pool]
    line = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    runner, worker, seconds = map(float, line.split())
    return runner, worker, seconds


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


def build(workload: str, count: int):
    """Return the graph of a workload, its input, and what its results add up to."""
    from papympi import Graph

    graph = Graph("memory")
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


def run_one(workload: str, count: int, pool: str) -> None:
    """Run one workload in this process; check its result and print what `measure` reads."""
    import psutil

    from papympi import run

    graph, values, expected = build(workload, count)
    begun, checksum = time.perf_counter(), 0
    largest, family = 0.0, []
    running = run({"value": values}, graph=graph, pools={"pool": pool})
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
        raise SystemExit(f"{workload}: the results are wrong: {checksum}, not {expected}")
    sys.stdout.write(f"{read_peak_mb('self')} {largest} {time.perf_counter() - begun}\n")


def find_largest(family) -> float:
    """Return the most memory that any of some processes ever had, in MB."""
    return max((read_peak_mb(process.pid) for process in family), default=0.0)


def read_peak_mb(pid: int | str) -> float:
    """Return the most memory that a process ever had, in MB; 0 if it is gone."""
    try:
        with Path(f"/proc/{pid}/status").open(encoding="ascii") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    except (FileNotFoundError, ProcessLookupError, StopIteration):
        return 0.0


def main() -> None:
    """Print one line a workload."""
    if sys.argv[1:2] == ["--one"]:
        run_one(sys.argv[2], int(sys.argv[3]), sys.argv[4])
        return
    pool = sys.argv[1] if len(sys.argv) > 1 else "processes:2"
    short, long = map(int, sys.argv[2:4]) if len(sys.argv) > 3 else (10**5, 10**7)
    for workload in WORKLOADS:
        first, second = measure(workload, short, pool), measure(workload, long, pool)
        for who, a, b in zip(("runner", "worker"), first, second, strict=False):
            ratio = f"{b / a:.2f}" if a else "-"
            sys.stdout.write(
                f"{workload:8} {who}: {a:5.1f} MB at {short:,}, {b:5.1f} MB at {long:,} items: x {ratio}\n"
            )
        sys.stdout.write(f"{workload:8} {long / second[2]:,.0f} items/s\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
