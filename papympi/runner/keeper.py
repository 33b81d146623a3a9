"""A run that is kept: its directory is locked, its journal opened and compared with what is to run, its end noted."""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from papympi.contracts import Statistics
from papympi.errors import JournalError, OptionError
from papympi.formats.output_files import write_failures
from papympi.model.graph import Graph
from papympi.model.item import Failure
from papympi.monitors.events import Events, read_events
from papympi.plan.plan import Plan
from papympi.plan.wiring import wire
from papympi.runner.keeping import Keeping
from papympi.runner.provenance import describe_surroundings, find_version
from papympi.stores.comparing import compare
from papympi.stores.journal import Journal
from papympi.stores.lock import Lock
from papympi.stores.rundir import EVENTS, FAILURES, JOURNAL, RunDirectory, open_private
from papympi.stores.salvage import open_sound
from papympi.stores.stored import Archive

if TYPE_CHECKING:
    from papympi.stores.fingerprint import Fingerprint


def start_keeping(keeping: Keeping, plan: Plan, graph: Graph, given: Collection[str]) -> Keeper:
    """Return what keeps a run.

    Args:
        keeping: how.
        plan: what is run.
        graph: as the user has declared it.
        given: names of the inputs that the caller gives.

    Raises:
        OptionError: shares of the inputs were asked for, and a node needs all of them.
    """
    if keeping.shard is not None:
        check_shard(plan, keeping.shard)

    def fingerprint() -> tuple[dict[str, Fingerprint], dict[str, list[str]]]:
        from papympi.stores.fingerprint import fingerprint_nodes, list_upstream

        wiring = wire(graph, [target.node for target in plan.targets], given)
        return fingerprint_nodes(wiring), {name: list(list_upstream(wiring, name)) for name in wiring.links}

    return Keeper(keeping, plan, fingerprint, {name: node.label for name, node in graph.nodes.items()})


def check_shard(plan: Plan, shard: tuple[int, int]) -> None:
    """Refuse a share of the inputs where one is impossible.

    Raises:
        OptionError: a number out of range, or a node that needs the whole stream.
    """
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


class Keeper:
    """Keeps one run in its directory.

    Args:
        keeping: how.
        plan: what is run.
        fingerprints: of the code of each node, by name, and which nodes each depends on.
        labels: how messages call each node.
    """

    def __init__(
        self,
        keeping: Keeping,
        plan: Plan,
        fingerprints: Callable[[], tuple[dict[str, Fingerprint], dict[str, list[str]]]],
        labels: Mapping[str, str],
    ) -> None:
        self._keeping = keeping
        self._plan = plan
        self._fingerprints = fingerprints
        self._labels = labels
        self._folder = RunDirectory(keeping.folder)
        self._lock = Lock(keeping.folder)
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
            if not self._keeping.locked:
                note = self._lock.take()
                undo.callback(self._lock.release)
            connection, damage = open_sound(self._folder / JOURNAL)
            undo.callback(connection.close)
            for text in filter(None, (note, damage)):
                self._keeping.warn(text)
            archive = self._compare(connection)
            self._write_record()
            before = [entry.get("finished", 0) for entry in read_events(self._folder / EVENTS)]
            self._before = max(before, default=0)
            self._journal = Journal(self._folder / JOURNAL, archive)
            self._events = Events(self._folder / EVENTS, self._tell)
            undo.pop_all()
        return {"store": self._journal, "history": archive or None, "shard": self._keeping.shard}

    def _compare(self, connection: sqlite3.Connection) -> Archive:
        """Return what is known of earlier attempts, after a look at whether it may be used."""
        keeping = self._keeping
        if not keeping.resume and connection.execute("SELECT COUNT(*) FROM nodes").fetchone()[0]:
            raise JournalError(
                f"{keeping.folder} has the journal of an earlier run; go on with it with --resume, or choose another "
                "run directory"
            )
        fingerprints, upstream = self._fingerprints()
        told = {"papympi": find_version("papympi"), "shard": json.dumps(keeping.shard)}
        told["seed"] = str(self._plan.program.seed)
        compare(connection, told, fingerprints, upstream, self._labels, force=keeping.force)
        from papympi.stores.retrying import forget_doubtful, forget_failures

        forget_doubtful(connection, self._plan)
        if keeping.retry_failed:
            forget_failures(connection, self._plan)
        return Archive(connection, forced=keeping.force)

    def _tell(self) -> dict[str, Any]:
        """Return what every event says."""
        finished = self._journal.finished if self._journal is not None else 0
        return {"pid": os.getpid(), "finished": max(finished, self._before)}

    def _write_record(self) -> None:
        """Write `run.json`: this attempt, and when the earlier ones began."""
        earlier = self._folder.read_record()
        record = {
            "command": list(self._keeping.command),
            "shell": shlex.join(self._keeping.command),
            "options": dict(self._keeping.options),
            "shard": self._keeping.shard,
            "targets": [target.node for target in self._plan.targets],
            **describe_surroundings(),
        }
        attempts = [*earlier.get("attempts", []), {key: record[key] for key in ("began", "host", "pid", "job")}]
        self._folder.write_record({**record, "attempts": attempts})

    def doubt(self) -> None:
        """Note that somebody ends the run from outside: what fails now is tried again the next time."""
        if self._journal is not None:
            self._journal.doubt()

    def start(self, look: Callable[[], Statistics]) -> None:
        """Begin to write events."""
        if self._events is not None:
            self._events.start(look)

    def close(self, last: Statistics | None, failures: Sequence[Failure]) -> None:
        """Write what is left and give the directory back.

        Raises:
            JournalError: it could not be written.
        """
        with ExitStack() as stack:
            if not self._keeping.locked:
                stack.callback(self._lock.release)
            if self._events is not None:
                event = "finished" if last is not None and last.complete else "stopped"
                stack.callback(self._events.close, last, event)
            if self._journal is not None:
                stack.callback(self._journal.close)
                count, reason = self._journal.unkept
                if count:
                    self._keeping.warn(f"{count} results could not be journalled: {reason}")
            if failures:
                open_private(self._folder / f"{FAILURES}.part").close()
                ordered = sorted(failures, key=lambda failure: (failure.key, failure.node))
                stack.callback(write_failures, self._folder / FAILURES, ordered)
            else:
                (self._folder / FAILURES).unlink(missing_ok=True)
