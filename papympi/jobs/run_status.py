"""How far a run is, and how it is cancelled: from its run directory alone, on any host, while it runs and later."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from papympi.errors import JournalError
from papympi.launchers.slurm_shell import NUMBER
from papympi.launchers.slurm_state import ALIVE, ask_squeue, ask_states, call
from papympi.model.telling import clean
from papympi.monitors import report
from papympi.monitors.events import parse_events
from papympi.monitors.progress import WINDOW_S
from papympi.stores.lock import NAME, end, is_alive, read_holder
from papympi.stores.rundir import EVENTS, RECORD, RunDirectory


class RunStatus:
    """The state of the run in a directory, or of the runs of all tasks of an array.

    Args:
        folder: the run directory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = RunDirectory(folder)
        if folder.exists():
            self._folder.check()

    def count(self) -> int:
        """Return how much is finished, over all attempts; nothing where no run has been yet."""
        return sum(
            max((int(entry.get("finished", 0)) for entry in parse_events(run.read(EVENTS))), default=0)
            for run in self._folder.list_runs()
        )

    def is_over(self) -> bool:
        """Return whether nobody works on it."""
        return all(_is_over(run.path) for run in self._folder.list_runs())

    def describe(self) -> str:
        """Return how far it is, in words."""
        submitted = self._read_submitted()
        runs = [run for run in self._folder.list_runs() if run.has(RECORD) or run.has(EVENTS)]
        if not runs and not submitted:
            raise JournalError(
                f"{self._folder.path} is no run directory: it has no {RECORD}; papympi run --run-dir makes one"
            )
        parts = [_describe_run(run) for run in runs] or [f"{self._folder.path}: nothing has begun yet"]
        jobs = [submitted, *(str(run.read_record().get("job") or "") for run in runs)]
        states = {job: _ask_squeue(job) for job in jobs if job}
        return "\n".join([*parts, *(f"job {job}: {state}" for job, state in states.items() if state)])

    def cancel(self) -> str:
        """Stop the run; return what was done.

        Raises:
            JournalError: nothing runs there, or it cannot be reached from here.
        """
        for job in filter(None, (self._read_submitted(), str(self._folder.read_record().get("job") or ""))):
            if (states := ask_states(job)) and states & ALIVE:
                done = call(["scancel", job])
                if done is None or done.returncode:
                    raise JournalError(f"scancel {job} failed: {done.stderr.strip() if done else 'no answer'}")
                return f"cancelled job {job}"
        return f"asked process {end(self._folder.path)} to stop"

    def _read_submitted(self) -> str:
        """Return the number of the last job that was submitted for it, "" if none was."""
        said = self._folder.read(NUMBER).decode(errors="replace")
        return said.strip().partition(";")[0]


def _is_over(folder: Path) -> bool:
    holder = read_holder(folder)
    return holder is None or not is_alive(holder, folder / NAME)


def _describe_run(run: RunDirectory) -> str:
    """Return how far the run of one directory is."""
    entries = parse_events(run.read(EVENTS))
    last = next((entry for entry in reversed(entries) if entry.get("nodes") is not None), None)
    lines = [f"{run.path}: {_find_state(run, entries)}"]
    if last is not None:
        lines.append(_describe_progress(last, _find_before(entries, last)))
    finished = max((int(entry.get("finished", 0)) for entry in entries), default=0)
    return "\n".join([*lines, f"{report.format_count(finished)} finished in all attempts"])


def _find_state(run: RunDirectory, entries: list[dict[str, Any]]) -> str:
    attempts = sum(entry.get("event") == "opened" for entry in entries)
    word = f"attempt {attempts}, " if attempts > 1 else ""
    if not _is_over(run.path):
        age = time.time() - entries[-1]["time"] if entries else 0
        return f"{word}running, last heard of {report.format_seconds(max(0, age))} ago"
    event = entries[-1].get("event") if entries else ""
    if event == "finished":
        return f"{word}complete"
    return f"{word}stopped; work remains" if event == "stopped" else f"{word}ended suddenly; work remains"


def _find_before(entries: list[dict[str, Any]], last: dict[str, Any]) -> dict[str, Any]:
    """Return what the same attempt had said some seconds before; nothing if it has ended: then all of it counts."""
    if last.get("event") != "progress":
        return {}
    begin = max(number for number, entry in enumerate(entries) if entry.get("event") == "opened" or not number)
    known = [entry for entry in entries[begin:] if entry.get("nodes") is not None]
    earlier = [entry for entry in known if last["seconds"] - entry["seconds"] >= WINDOW_S]
    return earlier[-1] if earlier else {}


def _describe_progress(entry: dict[str, Any], before: dict[str, Any]) -> str:
    """Return a table of the nodes and a line on the whole; how fast it is, is measured since an entry before."""
    seconds = entry["seconds"] - before.get("seconds", 0)
    nodes = before.get("nodes", {})
    rows = [
        {
            "node": clean(name),
            "done": report.format_count(count["done"]),
            "failed": report.format_count(count["failed"]) if count["failed"] else "",
            "rate": report.format_rate(count["done"] - nodes.get(name, {}).get("done", 0), seconds),
        }
        for name, count in entry["nodes"].items()
    ]
    line = f"{report.format_seconds(entry['seconds'])}: {report.format_count(entry['delivered'])} results"
    if not entry["complete"]:
        line += report.format_rest(entry.get("through") or 0, before.get("through") or 0, entry["length"], seconds)
    if entry.get("highest"):
        line += f"\n{report.format_most(entry['highest'], entry['heaviest'])}"
    return "\n".join([report.format_table(rows, rows_limit=len(rows)), line] if rows else [line])


def _ask_squeue(job: str) -> str:
    """Return state and reason of a job as long as it may still do something, "" otherwise."""
    done = ask_squeue(job, "%T %R")
    lines = done.stdout.splitlines() if done is not None and done.returncode == 0 else []
    return ", ".join(dict.fromkeys(line.strip() for line in lines if line.partition(" ")[0] in ALIVE))
