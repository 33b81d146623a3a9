"""The journal of one run: locks the run directory, compares old results with what is to run, notes the end."""

from __future__ import annotations

import json
import os
import platform
import shlex
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

from papympi.contracts import Statistics
from papympi.errors import JournalError, OptionError
from papympi.formats.output_files import write_failures
from papympi.launchers.slurm_state import call, find_job
from papympi.model.graph import Graph
from papympi.model.item import Failure
from papympi.monitors.events import Events, parse_events
from papympi.plan.plan import Plan
from papympi.plan.wiring import wire
from papympi.runner.journal_options import JournalOptions
from papympi.script.interpreter import HASH_SEED, read_hash_seed
from papympi.stores.archive import Archive
from papympi.stores.comparing import compare
from papympi.stores.fingerprint import find_version
from papympi.stores.journal import Journal
from papympi.stores.lock import Lock
from papympi.stores.repair import open_sound
from papympi.stores.rundir import EVENTS, FAILURES, JOURNAL, RunDirectory, open_private
from papympi.workers.ranks.allocation import joined


def check_shard(plan: Plan, shard: tuple[int, int]) -> None:
    """Refuse an impossible share of the inputs, and any where a node needs the whole stream."""
    number, shards = shard
    if not 0 <= number < shards:
        raise OptionError(f"--shard {number}/{shards}: the first number goes from 0 to {shards - 1}")
    for step in plan.steps:
        if step.kind in {"gather", "group", "fold"} and step.space.depth == 1:
            node = step.nodes[0]
            raise OptionError(
                f"--shard: node {node!r} takes the items of all shares together; shard the nodes above it "
                "(--target), merge, and run the rest over the merged results"
            )


class RunJournal:
    """Keeps one run in its directory.

    Args:
        options: how.
        plan: what is run.
        graph: as the user has declared it.
        given: names of the inputs that the caller gives.

    Raises:
        OptionError: shares of the inputs were asked for, and a node needs all of them.
    """

    def __init__(self, options: JournalOptions, plan: Plan, graph: Graph, given: Iterable[str]) -> None:
        if options.shard is not None:
            check_shard(plan, options.shard)
        self._options = options
        self._plan = plan
        self._graph = graph
        self._given = tuple(given)
        self._folder = RunDirectory(options.folder)
        self._lock = Lock(options.folder)
        self._journal: Journal | None = None
        self._events: Events | None = None
        self._before = 0

    def open(self) -> dict[str, Any]:
        """Lock the directory and open its journal; return what the engine is to be given.

        Raises:
            JournalError: it is in use, not private, or of another run.
        """
        self._folder.make()
        with ExitStack() as undo:
            note = ""
            if not self._options.locked:
                note = self._lock.take()
                undo.callback(self._lock.release)
            connection, damage = open_sound(self._folder / JOURNAL)
            undo.callback(connection.close)
            for text in filter(None, (note, damage)):
                self._options.warn(text)
            archive = self._compare(connection)
            self._write_record()
            before = [entry.get("finished", 0) for entry in parse_events(self._folder.read(EVENTS))]
            self._before = max(before, default=0)
            self._journal = Journal(self._folder / JOURNAL, archive)
            self._events = Events(self._folder / EVENTS, self._tell)
            undo.pop_all()
        return {"store": self._journal, "history": archive or None, "shard": self._options.shard}

    def _compare(self, connection: sqlite3.Connection) -> Archive:
        """Return what is known of earlier attempts, after a look at whether it may be used."""
        options = self._options
        if not options.resume and connection.execute("SELECT COUNT(*) FROM nodes").fetchone()[0]:
            raise JournalError(
                f"{options.folder} has the journal of an earlier run; go on with it with --resume, or choose another "
                "run directory"
            )
        told = {"papympi": find_version("papympi"), "shard": json.dumps(options.shard)}
        told |= {"seed": str(self._plan.program.seed), HASH_SEED: read_hash_seed()}
        wiring = wire(self._graph, [target.node for target in self._plan.targets], self._given)
        compare(connection, told, wiring, force=options.force)
        from papympi.stores.retrying import forget_doubtful, forget_failures

        forget_doubtful(connection, self._plan)
        if options.retry_failed:
            forget_failures(connection, self._plan)
        return Archive(connection, forced=options.force)

    def _tell(self) -> dict[str, Any]:
        """Return what every event says."""
        finished = self._journal.finished if self._journal is not None else 0
        return {"pid": os.getpid(), "finished": max(finished, self._before)}

    def _write_record(self) -> None:
        """Write `run.json`: this attempt, and when the earlier ones began."""
        earlier = self._folder.read_record()
        record = {
            "command": list(self._options.command),
            "shell": shlex.join(self._options.command),
            "options": dict(self._options.options),
            "shard": self._options.shard,
            "targets": [target.node for target in self._plan.targets],
            **describe_surroundings(),
        }
        attempts = [*earlier.get("attempts", []), {key: record[key] for key in ("began", "host", "pid", "job")}]
        self._folder.write_record({**record, "attempts": attempts})

    def doubt(self) -> None:
        """Note that the run is being ended from outside, e.g. by the scheduler: failures from now on are not final."""
        if self._journal is not None:
            self._journal.doubt()

    def start(self, look: Callable[[], Statistics]) -> None:
        """Begin to write events."""
        if self._events is not None:
            self._events.start(look)

    def close(self, last: Statistics | None, failures: Sequence[Failure]) -> None:
        """Write what is left and release the directory."""
        with ExitStack() as stack:
            if not self._options.locked:
                stack.callback(self._lock.release)
            if self._events is not None:
                event = "finished" if last is not None and last.complete else "stopped"
                stack.callback(self._events.close, last, event)
            if self._journal is not None:
                stack.callback(self._journal.close)
                count, reason = self._journal.unkept
                if count:
                    self._options.warn(f"{count} results could not be journalled: {reason}")
                if last is not None:
                    stack.callback(self._place_failures, failures)

    def _place_failures(self, failures: Sequence[Failure]) -> None:
        """Write what failed, in place of what did in an earlier attempt."""
        path = self._folder / FAILURES
        if failures:
            open_private(path.with_name(f"{FAILURES}.part")).close()
            write_failures(path, sorted(failures, key=lambda failure: (failure.key, failure.node)))
        else:
            path.unlink(missing_ok=True)


def describe_surroundings() -> dict[str, Any]:
    """Return what `run.json` says of the surroundings of a run."""
    job, allocator = find_job(os.environ), joined()
    ranks = {"mpi4py": find_version("mpi4py"), "ranks": allocator.world.size} if allocator is not None else None
    return {
        "papympi": find_version("papympi"),
        "python": platform.python_version(),
        "executable": sys.executable,
        "mpi": ranks,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "job": job[0] if job is not None else None,
        "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "folder": str(Path.cwd()),
        "git": describe_repository(Path.cwd()),
    }


@lru_cache(maxsize=8)
def describe_repository(folder: Path) -> dict[str, Any] | None:
    """Return revision and dirtiness of the git repository of a folder; `None` if it is in none."""
    revision = _git(folder, "rev-parse", "HEAD")
    if revision is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"revision": revision.strip(), "dirty": bool((changes or "").strip())}


def _git(folder: Path, *arguments: str) -> str | None:
    done = call(["git", "-C", str(folder), *arguments])
    return None if done is None or done.returncode else done.stdout
