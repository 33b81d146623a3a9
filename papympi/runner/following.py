"""Follows a run from its run directory: from any host that sees it, while it runs and afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from papympi.errors import JournalError
from papympi.monitors import report
from papympi.monitors.events import read_events
from papympi.stores.lock import NAME, is_alive, read_holder
from papympi.stores.rundir import EVENTS, RECORD, RunDirectory

_PATIENCE_S: Final = 20.0


class Follower:
    """What can be said of the run of a directory.

    Args:
        folder: the run directory.

    Raises:
        JournalError: it is none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = RunDirectory(folder)
        if not (self._folder / RECORD).is_file() and not (self._folder / EVENTS).is_file():
            raise JournalError(f"{folder} is no run directory: it has no {RECORD}; papympi run --run-dir makes one")

    def count(self) -> int:
        """Return how much is finished, over all attempts."""
        return max((int(entry.get("finished", 0)) for entry in read_events(self._folder / EVENTS)), default=0)

    def is_over(self) -> bool:
        """Return whether nobody works on it."""
        holder = read_holder(self._folder.path)
        return holder is None or not is_alive(holder, self._folder / NAME)

    def describe(self) -> str:
        """Return how far it is, in words."""
        entries = read_events(self._folder / EVENTS)
        last = next((entry for entry in reversed(entries) if "nodes" in entry), None)
        lines = [f"{self._folder.path}: {self._find_state(entries)}"]
        job = self._folder.read_record().get("job")
        if job and (state := _ask_squeue(str(job))):
            lines.append(f"job {job}: {state}")
        if last is not None:
            lines.append(_describe_progress(last))
        lines.append(f"{report.format_count(self.count())} finished in all attempts")
        return "\n".join(lines)

    def _find_state(self, entries: list[dict[str, Any]]) -> str:
        attempts = sum(entry.get("event") == "opened" for entry in entries)
        word = f"attempt {attempts}, " if attempts > 1 else ""
        if not self.is_over():
            age = time.time() - entries[-1]["time"] if entries else 0
            return f"{word}running, last heard of {report.format_seconds(max(0, age))} ago"
        event = entries[-1].get("event") if entries else ""
        if event == "finished":
            return f"{word}complete"
        return f"{word}stopped; work remains" if event == "stopped" else f"{word}ended suddenly; work remains"

    def cancel(self) -> str:
        """Stop the run; return what was done.

        Raises:
            JournalError: nothing runs there, or it cannot be reached from here.
        """
        holder = read_holder(self._folder.path)
        job = self._folder.read_record().get("job")
        if holder is None or self.is_over():
            raise JournalError(f"nothing runs in {self._folder.path}")
        if job and shutil.which("scancel"):
            done = _run(["scancel", str(job)])
            if done is None or done.returncode:
                raise JournalError(f"scancel {job} failed: {done.stderr.strip() if done else 'no answer'}")
            return f"cancelled job {job}"
        if holder["host"] != socket.gethostname():
            raise JournalError(
                f"the run in {self._folder.path} is process {holder['pid']} on {holder['host']}; cancel it there"
            )
        os.kill(int(holder["pid"]), signal.SIGTERM)
        return f"asked process {holder['pid']} to stop"


def _describe_progress(entry: dict[str, Any]) -> str:
    """Return a table of the nodes and a line on the whole."""
    seconds, length, pulled = entry["seconds"], entry["length"], entry["pulled"]
    rows = [
        {
            "node": name,
            "done": report.format_count(count["done"]),
            "failed": report.format_count(count["failed"]) if count["failed"] else "",
            "rate": report.format_rate(count["done"], seconds),
        }
        for name, count in entry["nodes"].items()
    ]
    line = f"{report.format_seconds(seconds)}: {report.format_count(entry['delivered'])} results"
    if length and not entry["complete"]:
        share = min(1.0, max(0, pulled - entry["live"]) / length)
        line += f", {share:.0%}"
        if 0 < share < 1:
            line += f", {report.format_seconds(seconds * (1 - share) / share)} left"
    return "\n".join([report.format_table(rows, rows_limit=len(rows)), line] if rows else [line])


def _ask_squeue(job: str) -> str:
    """Return the state of a job, "" if nobody knows."""
    if not shutil.which("squeue"):
        return ""
    done = _run(["squeue", "--noheader", "--jobs", job, "--format", "%T %R"])
    return done.stdout.strip() if done is not None and done.returncode == 0 else ""


def _run(command: list[str]) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
