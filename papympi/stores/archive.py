"""What a journal knows of earlier attempts: an index of its results, whose values are read when they are wanted."""

from __future__ import annotations

import json
import pickle
import sqlite3
import threading
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from papympi.contracts import Stretch
from papympi.errors import JournalError
from papympi.model.item import Failure, Key
from papympi.model.telling import tell, tell_kind
from papympi.stores.digest import SIZE
from papympi.stores.sums import find_payload
from papympi.transport.bitmap import FULL, clip_bitmap
from papympi.transport.payload import Coded, Payload
from papympi.workers.evaluation.attempt import attempt


class StoredPayload(Payload):
    """Values that lie in a journal until they are wanted.

    Attributes:
        number: which payload of the journal it is.
    """

    __slots__ = ("_archive", "number")

    def __init__(self, archive: Archive, number: int, count: int) -> None:
        super().__init__(None, None, count)
        self._archive = archive
        self.number = number

    def values(self, *, last: bool = False) -> list[Any]:
        """Return the values."""
        self.encode()
        return super().values(last=last)

    def encode(self) -> Coded:
        """Return the pickled form."""
        if self._coded is None:
            self._coded = self._archive.read(self.number)
        return self._coded


class Archive:
    """An index of a journal.

    Attributes:
        rows: digests of the rows of each input, one behind the other; zeros where one is not known.
        highest: the highest number of a payload.
        forced: rows may be others than they were.
        finished: how many results are there, and how many items folds that are not finished have taken.
    """

    def __init__(self, connection: sqlite3.Connection, *, forced: bool = False) -> None:
        self._connection: sqlite3.Connection | None = connection
        self._lock = threading.Lock()
        self.forced = forced
        self._last_failure = connection.execute("SELECT COALESCE(MAX(rowid), 0) FROM failures").fetchone()[0]
        self.rows = _load_rows(connection)
        numbers = "SELECT id FROM payloads UNION ALL SELECT payload FROM results"  # some may have lost their payload
        self.highest = connection.execute(f"SELECT COALESCE(MAX(id), 0) FROM ({numbers})").fetchone()[0]  # noqa: S608 - our own words
        self._counts = _load_counts(connection)
        self._states: dict[tuple[str, Key], tuple[int, bytes]] = {
            (node, tuple(json.loads(parent))): (at, body)
            for node, parent, at, body in connection.execute("SELECT node, parent, at, body FROM states")
        }
        self._stretches = self._load_results(connection)
        self.finished = sum(each.stop - each.first for some in self._stretches.values() for each in some)
        self.finished += sum(at for at, _ in self._states.values())

    def __bool__(self) -> bool:
        return bool(self._stretches or self._counts or self._states or self._last_failure)

    @property
    def failures(self) -> Iterator[Failure]:
        """Yield the failures of earlier attempts, a few at a time, so that who writes need not wait."""
        query = "SELECT failure, rowid FROM failures WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT 200"
        last = 0
        while rows := self._query(query, last, self._last_failure):
            last = rows[-1][1]
            found = (attempt(pickle.loads, body)[0] for body, _ in rows)
            yield from (failure for failure in found if isinstance(failure, Failure))

    def has_failed(self, node: str, key: Key) -> bool:
        """Return whether a node failed at a key in an earlier attempt."""
        query = "SELECT 1 FROM failures WHERE node = ? AND key = ? AND rowid <= ?"
        return bool(self._query(query, node, json.dumps(key), self._last_failure))

    def _query(self, query: str, *values: Any) -> list[Any]:
        with self._lock:
            return [] if self._connection is None else self._connection.execute(query, values).fetchall()

    def stretches(self, node: str, parent: Key | None) -> Sequence[Stretch]:
        """Return the results of a node below a parent."""
        return self._stretches.get((node, parent), ())

    def covers(self, node: str, parent: Key, first: int, count: int) -> bool:
        """Return whether all results of a node at some siblings are there, values included."""
        at = first
        stretches = self._stretches.get((node, parent), [])
        for index in range(bisect_right(stretches, first, key=lambda each: each.stop), len(stretches)):
            each = stretches[index]
            if each.first > at or at >= first + count or (each.payload is None and each.valid):
                break
            at = each.stop
        return at >= first + count

    def count(self, node: str, parent: Key) -> int | None:
        """Return how many children a parent has."""
        above, position = (parent[:-1], parent[-1]) if parent else (None, 0)
        return self._counts.get((node, above), {}).get(position)

    def parents(self, node: str, above: Key | None) -> Iterable[int]:
        """Return of which children of a parent the children are counted."""
        return self._counts.get((node, above), {})

    def state(self, node: str, parent: Key) -> tuple[int, Payload] | None:
        """Return an accumulator."""
        found = self._states.get((node, parent))
        return (found[0], Payload(None, unpack_coded(found[1]), 1)) if found is not None else None

    def read(self, number: int) -> Coded:
        """Return a payload."""
        with self._lock:
            if self._connection is None:
                raise JournalError("the journal is closed")
            row, error = attempt(find_payload, self._connection, number)
        if error is not None or row is None:
            raise JournalError(f"the journal is damaged ({error or 'a result is missing'}); use --resume to mend it")
        return unpack_coded(row)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _load_results(self, connection: sqlite3.Connection) -> dict[tuple[str, Key | None], list[Stretch]]:
        sizes = dict(connection.execute("SELECT id, count FROM payloads"))
        found: dict[tuple[str, Key | None], list[Stretch]] = {}
        made: tuple[int | None, Payload | None] = (None, None)
        query = "SELECT node, runs, mask, failed, payload, offset FROM results ORDER BY id"
        for node, runs, valid, failed, number, offset in connection.execute(query):
            if number is not None and number not in sizes:
                continue
            if number != made[0]:
                made = (number, None if number is None else StoredPayload(self, number, sizes[number]))
            bitmaps = (bytes_to_bitmap(valid), bytes_to_bitmap(failed))
            for parent, stretch in spread(json.loads(runs), bitmaps, made[1], offset):
                found.setdefault((node, parent), []).append(stretch)
        return {place: _tidy(stretches) for place, stretches in found.items()}


def spread(
    runs: Sequence[Any], bitmaps: tuple[int, int], payload: Payload | None, offset: int
) -> list[tuple[Key | None, Stretch]]:
    """Return what lies at runs of keys as a stretch for each parent."""
    found: list[tuple[Key | None, Stretch]] = []
    valid, failed = bitmaps
    at = 0
    for parent, first, count in runs or [(None, 0, 1)]:
        there, wrong = clip_bitmap(valid, at, at + count), clip_bitmap(failed, at, at + count)
        place = None if parent is None else tuple(parent)
        found.append((place, Stretch(first, first + count, there, wrong, payload, offset + at)))
        at += count
    return found


def _tidy(stretches: list[Stretch]) -> list[Stretch]:
    """Return stretches in order and disjoint."""
    found: list[Stretch] = []
    end = -1
    for each in sorted(stretches, key=lambda stretch: (stretch.first, -stretch.stop)):
        if each.first >= end:
            found.append(each)
        elif each.stop > end:
            found.append(each.cut(end, each.stop))
        end = max(end, each.stop)
    return found


def pack_coded(coded: Coded) -> bytes:
    """Return a pickled form as bytes; buffers are copied, as whoever has the values may change them."""
    body, buffers = coded
    return pickle.dumps((bytes(body), [bytes(buffer) for buffer in buffers]), 5)


def unpack_coded(data: bytes) -> Coded:
    """Return the pickled form again; its buffers can be written to."""
    body, buffers = pickle.loads(data)
    return body, tuple(bytearray(buffer) for buffer in buffers)


def bitmap_to_bytes(valid: int) -> bytes | None:
    """Return a bitmap as bytes; `None` for `FULL`."""
    return None if valid == FULL else valid.to_bytes(valid.bit_length() // 8 + 1, "little")


def bytes_to_bitmap(data: bytes | None) -> int:
    """Return a bitmap that was kept as bytes."""
    return FULL if data is None else int.from_bytes(data, "little")


def tell_failure(failure: Failure) -> dict[str, Any]:
    """Return what can be said of a failure without its exception, which may be of a class that is not there later."""
    return {
        "kind": tell_kind(failure.error),
        "message": tell(failure.error),
        "traceback": failure.traceback,
        "input": failure.input,
        "worker": failure.worker,
        "attempts": failure.attempts,
        "time": time.time(),
    }


def _load_rows(connection: sqlite3.Connection) -> dict[str, bytes]:
    found: dict[str, bytearray] = {}
    for node, start, digests in connection.execute("SELECT node, start, digests FROM rows ORDER BY id"):
        known = found.setdefault(node, bytearray())
        known.extend(b"\0" * (start * SIZE + len(digests) - len(known)))
        for at in range(0, len(digests), SIZE):
            if digests[at : at + SIZE].strip(b"\0"):
                known[start * SIZE + at : start * SIZE + at + SIZE] = digests[at : at + SIZE]
    return {node: bytes(known) for node, known in found.items()}


def _load_counts(connection: sqlite3.Connection) -> dict[tuple[str, Key | None], dict[int, int]]:
    found: dict[tuple[str, Key | None], dict[int, int]] = {}
    for node, runs, counts in connection.execute("SELECT node, runs, counts FROM counts ORDER BY id"):
        numbers = json.loads(counts)
        for parent, first, count in json.loads(runs) or [(None, 0, 1)]:
            place = None if parent is None else tuple(parent)
            found.setdefault((node, place), {}).update(enumerate(numbers[:count], first))
            numbers = numbers[count:]
    return found
