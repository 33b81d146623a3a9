"""A long run in which items raise, kill workers and hang, on four ranks: every item is accounted for, memory is flat.

Usage: python benchmarks/soak.py [ITEMS]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from soak_pipeline import HANGS, KILLS, RAISES  # noqa: E402 - it lies beside this file


def expect(items: int) -> tuple[Counter[str], list[int], int]:
    """Return what must come out: failures by error, the values of `joined`, and the sum of `summed`."""
    failures: Counter[str] = Counter()
    values = []
    for number in range(items):
        if number % RAISES == 7:
            failures["ValueError"] += 1
        elif number % KILLS == 11:
            failures["WorkerLost"] += 1
        elif number % HANGS == 13:
            failures["ItemTimeout"] += 1
        else:
            values.append(number + 1)
    return failures, values, sum(values)


def watch(process: subprocess.Popen[bytes]) -> list[tuple[float, float]]:
    """Return (seconds, MB of all processes of the job) until it ends."""
    begun, seen, family = time.monotonic(), [], psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        for member in family.children(recursive=True):
            try:
                total += member.memory_full_info().uss
            except psutil.Error:
                continue
        seen.append((time.monotonic() - begun, total / 1e6))
        time.sleep(1)
    return seen


def soak(items: int, folder: Path) -> tuple[int, list[tuple[float, float]], str]:
    """Run the pipeline on four ranks; return its exit code, the memory it took, and what it said."""
    bin_ = Path(sys.executable).parent
    argv = [bin_ / "mpiexec", "-n", "4", bin_ / "papympi", "run", HERE / "soak_pipeline.py", "--no-progress"]
    argv += ["--input", f"number=0..{items}", "--target", "joined", "--target", "summed"]
    argv += ["--output", folder / "results.jsonl"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(word) for word in argv], stdout=log, stderr=log)
        seen = watch(process)
    return process.returncode, seen, (folder / "log").read_text(errors="replace")


def check(items: int, folder: Path) -> list[str]:
    """Return what is wrong with the results."""
    failures, values, total = expect(items)
    rows = [json.loads(line) for line in (folder / "results.jsonl").open(encoding="utf-8")]
    found = [row["value"] for row in rows if row["node"] == "joined"]
    failed = [json.loads(line) for line in (folder / "results.jsonl.failures.jsonl").open(encoding="utf-8")]
    wrong = []
    if found != values:
        wrong.append(f"joined: {len(found)} values, {len(values)} expected, or in another order")
    if sum(row["value"] for row in rows if row["node"] == "summed") != total:
        wrong.append("summed: another sum")
    if Counter(row["error"] for row in failed) != failures:
        wrong.append(f"failures: {Counter(row['error'] for row in failed)}, expected {failures}")
    keys = [(row["node"], tuple(row["key"])) for row in failed]
    if len(keys) != len(set(keys)):
        wrong.append("a failure was counted twice")
    return wrong


def main() -> int:
    """Run, check, print."""
    items = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory(prefix="papympi-soak-") as name:
        folder = Path(name)
        code, seen, said = soak(items, folder)
        wrong = check(items, folder)
    sys.stdout.write(said[-3000:] + "\n")
    failures, values, _ = expect(items)
    half = [size for _, size in seen[len(seen) // 4 : len(seen) // 2]] or [0.0]
    late = [size for _, size in seen[len(seen) // 2 :]] or [0.0]
    sys.stdout.write(
        f"{items} items on 4 ranks in {seen[-1][0]:.0f} s: {len(values)} results, {dict(failures)}\n"
        f"memory of all processes: at most {max(half):.0f} MB in the second quarter, {max(late):.0f} MB later\n"
    )
    if code != 1:  # failed items are what it is about
        wrong.append(f"exit code {code}")
    sys.stdout.write("".join(f"WRONG: {each}\n" for each in wrong) or "every item is accounted for\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
