"""What a journal costs: a run of items that take a millisecond, with a run directory and without.

usage: python benchmarks/bench_journal.py [--items N] [--rounds N] [--workers N]

The clock runs while results come, not while workers start, which costs the same in both. Each round does both; medians
and the best rounds are compared, as a busy machine disturbs the first more. The journal may cost 5 percent.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import papympi

ITEM_S = 0.001


def work(number: int) -> int:
    """Be busy for a millisecond."""
    end = time.perf_counter() + ITEM_S
    while time.perf_counter() < end:
        pass
    return number


def run_once(items: int, workers: int, journal: Path | None) -> float:
    """Return the seconds between the first result and the end."""
    graph = papympi.Graph("bench")
    graph.add(work, inputs={"number": "number"}, pool="pool")
    running = papympi.run(
        {"number": range(items)}, graph=graph, pools={"pool": f"processes:{workers}"}, journal=journal
    )  # fmt: skip
    with running:
        found = [next(running)]
        start = time.perf_counter()
        found += running
        seconds = time.perf_counter() - start
    assert found == list(range(items))
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    bare, kept = [], []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            bare.append(run_once(options.items, options.workers, None))
            kept.append(run_once(options.items, options.workers, Path(folder) / "run"))
    print(f"{options.items} items of 1 ms on {options.workers} workers, {options.rounds} rounds")
    for name, choose in (("median", statistics.median), ("best", min)):
        without, with_journal = choose(bare), choose(kept)
        more = 100 * (with_journal / without - 1)
        print(f"  {name:<6}  without {without:.3f} s, with {with_journal:.3f} s: {more:+.1f} %")


if __name__ == "__main__":
    main()
