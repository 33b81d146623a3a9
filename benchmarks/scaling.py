"""How many workers one runner can feed: what a batch costs it, and what follows for thousands of workers.

usage: python benchmarks/scaling.py [--cost MICROSECONDS] [--batches N]

First it measures what a batch costs the runner, in processor time, on the pool `processes`. Then it simulates a runner
that needs so long for each batch, with workers that have one batch at work and one at hand, and prints the share of
their time in which they work. `docs/explanation/scaling.md` says what to make of it.
"""

from __future__ import annotations

import argparse
import heapq
import time

from papympi import Graph, run

WORKERS = (64, 256, 1000, 4000, 10_000, 30_000)
BATCH_S = (0.01, 0.1, 1.0, 10.0, 60.0)
"""How long a batch takes on its worker, in seconds."""
ROUNDS = 6
"""So many batches each worker gets in a simulation."""


def keep(values: list[int]) -> list[int]:
    """Do nothing: what is measured is everything else. It is vectorized, so that batches do not travel together."""
    return values


def measure_cost(batches: int) -> float:
    """Return the processor time that a batch of one item costs the runner, in seconds."""
    graph = Graph("scaling")
    graph.add(keep, pool="processes", stride=1, vectorized=True, inputs={"values": "x"})
    with run({"x": range(batches)}, graph=graph, pools={"processes": "processes:2"}) as running:
        results = iter(running)
        first = next(results)
        begun = time.process_time()
        rest = list(results)
        seconds = time.process_time() - begun
    if [first, *rest] != list(range(batches)):
        raise SystemExit("the results are wrong; nothing was measured")
    return seconds / len(rest)


def simulate(workers: int, batch_s: float, cost_s: float, places: int = 2) -> float:
    """Return the share of their time in which workers work, from the first batch to the last.

    The runner is one server: taking an outcome in and sending the next batch costs it `cost_s`. A worker begins its
    next batch at once if it has one at hand.

    Args:
        workers: how many.
        batch_s: how long a batch takes on its worker, in seconds.
        cost_s: what it costs the runner, in seconds.
        places: how many batches a worker may have.
    """
    runner = 0.0
    free = [0.0] * workers
    ends: list[tuple[float, int]] = []
    left = workers * ROUNDS

    def hand_over(worker: int) -> None:
        nonlocal runner, left
        runner += cost_s
        free[worker] = max(free[worker], runner) + batch_s
        heapq.heappush(ends, (free[worker], worker))
        left -= 1

    for _ in range(min(places, ROUNDS)):
        for worker in range(workers):
            hand_over(worker)
    while ends:
        now, worker = heapq.heappop(ends)
        runner = max(runner, now)
        if left:
            hand_over(worker)
    return workers * ROUNDS * batch_s / (workers * max(free))


def main() -> None:
    """Print the cost and a table of efficiencies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cost", type=float, help="of a batch, in microseconds, instead of measuring it")
    parser.add_argument("--batches", type=int, default=20_000)
    asked = parser.parse_args()
    cost_s = asked.cost * 1e-6 if asked.cost else measure_cost(asked.batches)
    print(f"a batch costs the runner {cost_s * 1e6:.0f} us: it feeds {1 / cost_s:,.0f} batches/s\n")
    print("time of a batch " + "".join(f"{count:>10,}" for count in WORKERS) + "  workers")
    for batch_s in BATCH_S:
        shares = [simulate(count, batch_s, cost_s) for count in WORKERS]
        print(f"{batch_s:13g} s " + "".join(f"{share:10.2f}" for share in shares))


if __name__ == "__main__":
    main()
