"""Measures a script that imports much: the wait for its first result, the memory of eight workers, a replacement.

    .venv-science/bin/python benchmarks/scripts.py --rounds 5 [--tree FOLDER]

`--tree` measures the papympi of another folder, an older one. The script imports NumPy, SciPy and matplotlib. Every
figure is a median, with the lowest and the highest beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

PIPELINE = """
import os, signal, time
import matplotlib.pyplot as plt
import numpy as np
import scipy.linalg, scipy.optimize, scipy.stats
from papympi import node

@node(pool="processes", stride=1)
def solved(number):
    found = scipy.linalg.norm(np.ones(3)) + scipy.stats.norm.cdf(0) + len(plt.rcParams)
    assert found > 0
    time.sleep(WAIT)
    if number == KILLED and not os.path.exists("killed"):
        with open("killed", "w") as file:
            file.write(repr(time.time()))
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid(), time.time()
"""


@contextmanager
def pipeline(folder: Path, tree: str, workers: int, *, wait_s: float, killed: int = -1) -> Iterator[subprocess.Popen]:
    """Run the pipeline over an endless input; end it with the block."""
    text = PIPELINE.replace("WAIT", repr(wait_s)).replace("KILLED", repr(killed))
    (folder / "much.py").write_text(text)
    unset = {"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
    env = {name: value for name, value in os.environ.items() if name not in unset} | {"PYTHONPATH": tree}
    words = ["run", "much.py", "--input", "number=0..1000000", "--pool", f"processes=processes:{workers}"]
    argv = [sys.executable, "-m", "papympi", *words, "--output", "-", "--no-progress"]
    with subprocess.Popen(argv, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            family = [process, *psutil.Process(process.pid).children(recursive=True)]
            for each in family:
                each.kill()


def read_rows(process: subprocess.Popen) -> Iterator[tuple[int, float]]:
    """Yield which process gave each result, and when."""
    for line in process.stdout:
        yield tuple(json.loads(line)["value"])
    raise SystemExit("the pipeline has ended")


def measure_first(folder: Path, tree: str) -> float:
    """Return the milliseconds from the start of the process to the first line, with two workers."""
    begun = time.perf_counter()
    with pipeline(folder, tree, 2, wait_s=0.0) as process:
        next(read_rows(process))
        return (time.perf_counter() - begun) * 1000


def measure_memory(folder: Path, tree: str) -> float:
    """Return the megabytes of eight workers and of what starts them, shared pages in proportion."""
    with pipeline(folder, tree, 8, wait_s=0.3) as process:
        seen: set[int] = set()
        for pid, _ in read_rows(process):
            seen.add(pid)
            if len(seen) == 8:
                break
        return sum(read_pss(child.pid) for child in psutil.Process(process.pid).children(recursive=True)) / 1000


def read_pss(pid: int) -> int:
    """Return the kilobytes of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def measure_replacement(folder: Path, tree: str) -> float:
    """Return the milliseconds from the death of a worker to the end of the first item of the one in its place."""
    with pipeline(folder, tree, 2, wait_s=0.005, killed=60) as process:
        before: set[int] = set()
        for pid, at in read_rows(process):
            if not (folder / "killed").exists() or len(before) < 2:
                before.add(pid)
            elif pid not in before:
                return (at - float((folder / "killed").read_text())) * 1000
    raise SystemExit("no worker was replaced")


MEASURED = {
    "first result on 2 workers, ms": measure_first,
    "memory of 8 workers, MB": measure_memory,
    "replacement of a worker, ms": measure_replacement,
}


def main() -> int:
    """Measure, round by round."""
    parser = argparse.ArgumentParser(prog="python benchmarks/scripts.py", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tree", default=str(Path(__file__).parent.parent), help="where papympi is imported from")
    asked = parser.parse_args()
    figures: dict[str, list[float]] = {name: [] for name in MEASURED}
    for _ in range(asked.rounds + 1):  # the first round fills the caches of bytecode
        for name, measure in MEASURED.items():
            with tempfile.TemporaryDirectory(prefix="much-") as folder:
                figures[name].append(measure(Path(folder), asked.tree))
    for name, (_, *found) in figures.items():
        print(f"{name}: {statistics.median(found):.0f} ({min(found):.0f} to {max(found):.0f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
