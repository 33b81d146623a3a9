"""What isolation costs in MPI ranks: batches of nothing, and items that take a millisecond, with it and without.

usage: python benchmarks/bench_isolation.py [--ranks N] [--rounds N]

Starts `mpiexec` with N ranks. Rounds of both kinds take turns, so that the noise of the machine hits both; the clock
runs from the first batch of ranks that have worked before to the last outcome. Rank 0 drives the pool as the engine
does, with two batches for each rank at any time.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from papympi.contracts import Pool
from papympi.engine.waiting import Waiter
from papympi.launchers.mpiexec import command
from papympi.launchers.search import find_launcher
from papympi.pools.mpi import MpiPool
from papympi.testing import build_map, values_of
from papympi.transport.payload import Payload
from papympi.transport.task import Kind, Task


def increment(number: int) -> int:
    """Do next to nothing, so that what is measured is everything else."""
    return number + 1


def compute(number: int) -> int:
    """Keep the processor busy for a millisecond."""
    end = time.perf_counter() + 1e-3
    while time.perf_counter() < end:
        pass
    return number + 1


def wait(number: int) -> int:
    """Leave the processor to others for a millisecond."""
    time.sleep(1e-3)
    return number + 1


WORKLOADS: tuple[tuple[str, Callable[[int], int], int, int], ...] = (
    ("empty batches, stride 1", increment, 1, 2000),
    ("empty items, stride 64", increment, 64, 2000),
    ("1 ms of waiting, stride 1", wait, 1, 400),
    ("1 ms of waiting, stride 16", wait, 16, 30),
    ("1 ms of computing, stride 1", compute, 1, 400),
    ("1 ms of computing, stride 16", compute, 16, 30),
)
"""What it is called, the node, its stride, and how many batches of it are measured at once."""


def drive(pool: Pool, values: list[int], batches: int) -> float:
    """Return the seconds that some batches take, two for each rank at any time, as the engine does it."""
    waiter = Waiter([pool])
    places = [worker for worker in range(len(pool.workers)) for _ in range(pool.places)]
    flights: dict[int, int] = {}
    sent = come = 0
    begun = time.perf_counter()
    while come < batches:
        for worker in places[: batches - sent]:
            sent += 1
            flights[sent] = worker
            columns = [[(Payload(list(values)), 0, len(values))]]
            keys = [((7,), 0, len(values))]
            pool.submit(worker, Task(sent, Kind.CALL, 0, len(values), columns=columns, keys=keys))
        arrivals = pool.collect()
        places = [flights.pop(outcome.task) for outcome in arrivals]
        come += len(arrivals)
        if arrivals:
            waiter.reset()
            if values_of(arrivals[-1]) != [value + 1 for value in values]:
                raise SystemExit("the results are wrong; nothing was measured")
        else:
            waiter.wait()
    waiter.close()
    return time.perf_counter() - begun


def measure(function: Callable[[int], int], stride: int, batches: int, *, isolate: bool) -> float:
    """Return the seconds that some batches take on ranks that have worked before."""
    pool = MpiPool("mpi", isolate=isolate)
    pool.open(build_map(function))
    values = list(range(stride))
    drive(pool, values, 20)
    seconds = drive(pool, values, batches)
    pool.close()
    return seconds


def run_rank_0(rounds: int) -> int:
    """Print a line for each workload."""
    for name, function, stride, batches in WORKLOADS:
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for turn in range(2 * rounds):
            isolate = turn % 4 in {0, 3}
            seconds[isolate].append(measure(function, stride, batches, isolate=isolate))
        without, isolated = (statistics.median(seconds[isolate]) for isolate in (False, True))
        print(
            f"{name:30} without {batches / without:9,.0f} batches/s   isolated "
            f"{batches / isolated:9,.0f} batches/s   time x {isolated / without:.3f}",
            flush=True,
        )
    return 0


def main() -> int:
    """Start the ranks, or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.rank:
        from papympi.runner.launch import rank_main

        return rank_main(lambda: run_rank_0(asked.rounds))
    program = [sys.executable, __file__, "--rank", "--rounds", str(asked.rounds)]
    return subprocess.run(command(find_launcher(), asked.ranks, program, local=True), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
