"""What it costs to be careful, on items that compute for a millisecond: on and off, in turns in one process."""

from __future__ import annotations

import logging
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import papympi
from benchmarks.functions import be_busy, serve_ranks, start_run
from benchmarks.harness import Row, Setting, check, make_row, play
from benchmarks.jobs import Job

GROUP = "overheads"
ITEM_S = 1e-3
KINDS = ("isolation", "journal", "telemetry: progress", "telemetry: logs", "time-outs")
LOG_EVERY = 50
log = logging.getLogger("papympi_bench")


def work(number):
    """Compute for a millisecond."""
    be_busy(ITEM_S)
    return number


def work_and_log(number):
    """Compute for a millisecond; say something now and then."""
    be_busy(ITEM_S)
    if number % LOG_EVERY == 0:
        log.info("item %d is done", number)
    return number


def run_once(kind: str, items: int, folder: Path, *, on: bool) -> float:
    """Return the seconds between the first result and the last one."""
    graph = papympi.Graph("overheads")
    node: dict[str, Any] = {"timeout": 10.0} if kind == "time-outs" and on else {}
    graph.add(work_and_log if "logs" in kind else work, inputs={"number": "number"}, pool="pool", **node)
    options: dict[str, Any] = {"journal": folder / "run"} if kind == "journal" and on else {}
    options["progress"] = kind == "telemetry: progress" and on
    log.setLevel(logging.INFO if on else logging.WARNING)
    log.handlers, log.propagate = [logging.FileHandler(folder / "log")], False
    pool: Any = {"backend": "mpi", "isolate": on} if kind == "isolation" else "processes:1"
    with start_run(graph, range(items), pool, results=items, **options) as read:
        begun = time.perf_counter()
        found = list(read())
        seconds = time.perf_counter() - begun
    check(found, range(items))
    log.handlers[0].close()
    return seconds


def measure(kind: str, items: int, rounds: int) -> dict[str, float]:
    """Return the median seconds with it and without, in turns."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(2 * rounds):
        on = turn % 4 in {0, 3}
        with tempfile.TemporaryDirectory(dir=os.environ["TMPDIR"]) as folder:
            seconds[on].append(run_once(kind, items, Path(folder), on=on))
    return {"on": statistics.median(seconds[True]), "off": statistics.median(seconds[False])}


def measure_ranks(**arguments: Any) -> dict[str, float] | None:
    """Return the same on ranks that are there."""
    return serve_ranks(lambda: measure(**arguments))


def run(setting: Setting) -> list[Row]:
    """Return the rows."""
    items = int((300 if setting.quick else 3000) * setting.scale)
    contenders = {}
    for kind in KINDS:
        given = {"kind": kind, "items": items, "rounds": 2}
        if kind != "isolation":
            contenders[kind] = Job("benchmarks.overheads:measure", given)
        elif setting.peers == "all":
            contenders[kind] = Job("benchmarks.overheads:measure_ranks", given, ranks=2)
    figures = play(contenders, 1 if setting.quick else setting.rounds)
    return [
        make_row(
            (GROUP, f"{kind}, items of 1 ms", "s", "on", "off"),
            figures.series(kind, "on"),
            figures.series(kind, "off"),
            why=figures.why_not(kind),
            lower=True,
        )
        for kind in contenders
    ]
