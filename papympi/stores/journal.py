"""The journal: finished results and counts, in an SQLite file that one thread writes, many entries at a time.

A rollback journal, no write-ahead log and no shared memory: those need memory that all users of the file share, which
a network file system does not give. Everything in it is true by itself: losing a part costs only its repetition.
"""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from papympi.errors import JournalError, ShippingError
from papympi.model.item import Failure, Key
from papympi.stores.archive import Archive, bitmap_to_bytes, pack_coded, tell_failure
from papympi.stores.digest import SIZE, digest
from papympi.stores.sums import guard_rows
from papympi.transport.payload import Payload
from papympi.transport.task import KeyRun
from papympi.workers.evaluation.attempt import attempt

COMMIT_S: Final = (0.1, 1.0)
"""A result is on the disk this many seconds after it came back, at first and later: what a sudden end may cost."""
COMMIT_ROWS: Final = 5000
"""So many rows are written at once even before that."""
MOST_BYTES: Final = 256 << 20
"""When so much is waiting for the disk, the run waits, too."""

DOUBT: Final = "doubt"
"""In the table `meta`: failures after this time may have been caused by whatever ended the attempt."""
_DOUBT_S: Final = 3.0
"""Items may already fail so long before such an end is noticed."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS nodes (name TEXT PRIMARY KEY, parts TEXT);
CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, node TEXT, start INTEGER, digests BLOB);
CREATE TABLE IF NOT EXISTS payloads (id INTEGER PRIMARY KEY, count INTEGER, body BLOB);
CREATE TABLE IF NOT EXISTS results (id INTEGER PRIMARY KEY, node TEXT, runs TEXT, mask BLOB, failed BLOB,
    payload INTEGER, offset INTEGER);
CREATE TABLE IF NOT EXISTS counts (id INTEGER PRIMARY KEY, node TEXT, runs TEXT, counts TEXT);
CREATE TABLE IF NOT EXISTS states (node TEXT, parent TEXT, at INTEGER, body BLOB, PRIMARY KEY (node, parent));
CREATE TABLE IF NOT EXISTS failures (node TEXT, key TEXT, told TEXT, failure BLOB, given BLOB,
    PRIMARY KEY (node, key));
"""

_ROWS: Final = "INSERT INTO rows (node, start, digests) VALUES (?, ?, ?)"
_PAYLOAD: Final = "INSERT OR REPLACE INTO payloads (id, count, body) VALUES (?, ?, ?)"
_RESULTS: Final = "INSERT INTO results (node, runs, mask, failed, payload, offset) VALUES (?, ?, ?, ?, ?, ?)"
_COUNTS: Final = "INSERT INTO counts (node, runs, counts) VALUES (?, ?, ?)"
_STATE: Final = "INSERT OR REPLACE INTO states (node, parent, at, body) VALUES (?, ?, ?, ?)"
_NO_STATE: Final = "DELETE FROM states WHERE node = ? AND parent = ?"
_META: Final = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
_NO_META: Final = "DELETE FROM meta WHERE name = ?"
_FAILURE: Final = "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?)"

Row = tuple[str, tuple[Any, ...]]


class Journal:
    """Keeps what workers send back. Its methods are called by the engine; a thread of its own writes.

    Attributes:
        finished: how much is known: results, and items that folds have taken; it only grows.
        unkept: results that could not be kept because nothing can pickle them, and why the first could not.

    Args:
        path: the file; it exists and has its tables.
        archive: what an earlier attempt has left in it.
    """

    def __init__(self, path: Path, archive: Archive) -> None:
        self.unkept: tuple[int, str] = (0, "")
        self.finished = archive.finished
        self._path = path
        self._archive = archive
        self._folded: dict[tuple[str, Key], int] = {}
        self._payloads: int = archive.highest
        self._last: tuple[Payload | None, int | None] = (None, None)
        self._pending: list[Row] = []
        self._states: dict[tuple[str, Key], tuple[int, Payload]] = {}
        self._bytes = 0
        self._error: JournalError | None = None
        self._change = threading.Condition()
        self._over = False
        self._doubted = 0.0
        self._thread = threading.Thread(target=self._write, name="papympi-journal", daemon=True)
        self._thread.start()

    def keep_results(
        self, node: str, runs: Sequence[KeyRun], bitmaps: tuple[int, int], payload: Payload | None, offset: int
    ) -> None:
        """Keep results of a node."""
        fresh = [count for parent, first, count in runs if not self._archive.covers(node, tuple(parent), first, count)]
        if runs and not fresh:
            return
        self.finished += sum(fresh) or 1
        number = None
        if payload is not None:
            number = self._keep_payload(node, payload)
            if number is None:
                return
        row = (node, json.dumps(runs), bitmap_to_bytes(bitmaps[0]), bitmap_to_bytes(bitmaps[1]), number, offset)
        self._put(_RESULTS, row, 100)

    def _keep_payload(self, node: str, payload: Payload) -> int | None:
        """Write a payload once, however many runs of keys lie in it."""
        last, number = self._last
        if last is payload:
            return number
        try:
            body = pack_coded(payload.encode())
        except ShippingError as error:
            self.unkept = (self.unkept[0] + payload.count, self.unkept[1] or f"node {node!r}: {error}")
            self._last = (payload, None)
            return None
        self._payloads += 1
        self._put(_PAYLOAD, (self._payloads, payload.count, body), len(body))
        self._last = (payload, self._payloads)
        return self._payloads

    def keep_counts(self, node: str, parents: Sequence[KeyRun], counts: Sequence[int]) -> None:
        """Keep how many children each of some parents has."""
        if not parents:
            known = self._archive.count(node, ())
            if known is not None:
                self._compare_length(node, counts[0], counts[0])
                return
        self._put(_COUNTS, (node, json.dumps(parents), json.dumps(counts)), 100)

    def keep_state(self, node: str, parent: Key, at: int, state: Payload) -> None:
        """Keep an accumulator; only the last one before a commit is written."""
        with self._change:
            self._states[node, parent] = (at, state)
        known = self._archive.state(node, parent)
        self.finished += at - self._folded.get((node, parent), known[0] if known is not None else 0)
        self._folded[node, parent] = at

    def drop_state(self, node: str, parent: Key) -> None:
        """Forget an accumulator."""
        with self._change:
            self._states.pop((node, parent), None)
        self._folded.pop((node, parent), None)
        self._put(_NO_STATE, (node, json.dumps(parent)), 50)

    def keep_failure(self, failure: Failure, given: Sequence[Any] | None) -> None:
        """Keep a failure and what its stage was given."""
        body, error = attempt(pickle.dumps, failure, 5)
        if error is not None:
            return
        coded, error = attempt(Payload(list(given)).encode) if given is not None else (None, None)
        kept = pack_coded(coded) if error is None and coded is not None else None
        row = (failure.node, json.dumps(failure.key), json.dumps(tell_failure(failure)), body, kept)
        self._put(_FAILURE, row, len(body) + len(kept or b""))

    def keep_rows(self, node: str, start: int, values: Sequence[Any]) -> None:
        """Keep the digests of rows, or compare them with those that are there."""
        self._compare_length(node, start + len(values), None)
        known = self._archive.rows.get(node, b"")
        fresh = []
        for index, value in enumerate(values, start):
            made = digest(value)
            there = known[index * SIZE : (index + 1) * SIZE]
            if not there.strip(b"\0"):
                fresh.append(made)
                continue
            fresh.append(b"\0" * SIZE)
            if there != made and not self._archive.forced:
                raise JournalError(
                    f"item {index} of input {node!r} is not what it was when the journal {self._path} was written; "
                    "begin in another run directory, or use the old results all the same with --force"
                )
        if any(made.strip(b"\0") for made in fresh):
            self._put(_ROWS, (node, start, b"".join(fresh)), SIZE * len(fresh))

    def _compare_length(self, node: str, least: int, length: int | None) -> None:
        """Refuse an input that has at least `least` rows, and if it has ended `length`, if it had another number."""
        known = self._archive.count(node, ())
        if known is not None and (least > known or length not in (None, known)):
            now = f"{length} now" if length is not None else "more now"
            raise JournalError(
                f"input {node!r} had {known} items when the journal was written, and has {now}: what belongs together "
                "depends on that; begin in another run directory"
            )

    def doubt(self) -> None:
        """Note that the run is being ended from outside, and items may fail because of it. For signal handlers too."""
        self._doubted = self._doubted or time.time()

    def check(self) -> None:
        """Raise the error of the writing thread; wait while it has too much to do."""
        if self._error is not None:
            raise self._error
        if self._bytes > MOST_BYTES:
            with self._change:
                self._change.notify()
                self._change.wait_for(lambda: self._bytes <= MOST_BYTES or self._error is not None)

    def close(self) -> None:
        """Write what is left."""
        with self._change:
            self._over = True
            self._change.notify()
        self._thread.join()
        self._archive.close()
        if self._error is not None:
            raise self._error

    def _put(self, statement: str, row: tuple[Any, ...], size: int) -> None:
        with self._change:
            self._pending.append((statement, row))
            self._bytes += size
            if len(self._pending) >= COMMIT_ROWS:
                self._change.notify()

    def _write(self) -> None:
        _, error = attempt(self._write_all)
        if error is not None:
            with self._change:
                self._error = _explain(self._path, error)
                self._change.notify_all()

    def _write_all(self) -> None:
        connection = connect(self._path)
        try:
            guard_rows(connection)
            over, interval = False, COMMIT_S[0]
            while not over:
                with self._change:
                    self._change.wait_for(lambda: self._over or len(self._pending) >= COMMIT_ROWS, interval)
                    over, rows, states, size = self._over, self._pending, self._states, self._bytes
                    self._pending, self._states = [], {}
                if rows or states or over or self._doubted:
                    self._commit(connection, rows, states)
                    interval = min(1.2 * interval, COMMIT_S[1])
                with self._change:
                    self._bytes -= size
                    self._change.notify_all()
        finally:
            connection.close()

    def _commit(
        self, connection: sqlite3.Connection, rows: list[Row], states: dict[tuple[str, Key], tuple[int, Payload]]
    ) -> None:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement, row in rows:
                connection.execute(statement, row)
            for (node, parent), (at, state) in states.items():
                with suppress(ShippingError):
                    body = pack_coded(state.encode())
                    connection.execute(_STATE, (node, json.dumps(parent), at, body))
            if self._over and not self._doubted:
                connection.execute(_NO_META, (DOUBT,))
            else:
                connection.execute(_META, (DOUBT, (self._doubted or time.time()) - _DOUBT_S))


def connect(path: Path, *, reads: bool = False) -> sqlite3.Connection:
    """Return a connection to a journal whose transactions are begun by hand; it may be used from any thread.

    Who only reads also rolls back what a sudden end has left half written, where that is allowed.
    """
    mode = "rw" if not reads or os.access(path, os.W_OK) else "ro"
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=60, isolation_level=None, check_same_thread=False)
    try:
        if reads:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _explain(path: Path, error: BaseException) -> JournalError:
    """Return the error that tells a user why a journal cannot be written."""
    full = "full" in str(error) or "disk I/O" in str(error)
    way_out = "make room" if full else "see that the file system is there and writable"
    found = JournalError(f"the journal {path} cannot be written: {error}; {way_out}, then go on with --resume")
    found.__cause__ = error
    return found
