"""Many small items through one node on two processes: papympi beside the pools of the standard library.

usage: python benchmarks/bench_small_items.py [--items N] [--rounds N] [--workers N]

The clock runs from nothing to the last result and the end of the workers: what somebody waits for who has a list and a
function. Starting the workers counts for every contender.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import papympi

STRIDES = (1, 16, 256)


def increment(number: int) -> int:
    """Do next to nothing, so that what is measured is everything else."""
    return number + 1


def run_papympi(items: int, workers: int, stride: int) -> list[int]:
    """Return the results of papympi."""
    return list(papympi.map(increment, range(items), pool=f"processes:{workers}", stride=stride))


def run_executor(items: int, workers: int, stride: int) -> list[int]:
    """Return the results of `concurrent.futures`."""
    with ProcessPoolExecutor(workers) as executor:
        return list(executor.map(increment, range(items), chunksize=stride))


def run_imap(items: int, workers: int, stride: int) -> list[int]:
    """Return the results of `multiprocessing`."""
    with multiprocessing.Pool(workers) as pool:
        return list(pool.imap(increment, range(items), chunksize=stride))


CONTENDERS: dict[str, Callable[[int, int, int], list[int]]] = {
    "papympi": run_papympi,
    "ProcessPoolExecutor.map": run_executor,
    "multiprocessing.Pool.imap": run_imap,
}


def measure(items: int, rounds: int, workers: int, stride: int) -> dict[str, float]:
    """Return the median seconds of each contender, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for turn in range(rounds + 1):
        for name, contender in CONTENDERS.items():
            start = time.perf_counter()
            found = contender(items, workers, stride)
            if turn:
                seconds[name].append(time.perf_counter() - start)
            if found != list(range(1, items + 1)):
                raise SystemExit(f"{name} has wrong results; nothing was measured")
    return {name: statistics.median(times) for name, times in seconds.items()}


def main() -> None:
    """Print a table for each stride."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    for stride in STRIDES:
        items = asked.items * min(stride, 16)
        medians = measure(items, asked.rounds, asked.workers, stride)
        print(f"\n{items} items, stride {stride}, {asked.workers} workers, median of {asked.rounds}")
        for name, median in medians.items():
            ratio = median / medians["papympi"]
            print(f"  {name:28} {items / median:12,.0f} items/s   papympi is {ratio:5.2f} times as fast")


if __name__ == "__main__":
    main()
