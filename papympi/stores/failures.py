"""The failures in a journal, read while it may still be written: for people, and to be repeated."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Final

from papympi.errors import JournalError, ShippingError, did_you_mean
from papympi.model.item import Failure, Key
from papympi.model.telling import clean, tell
from papympi.model.tracebacks import LONGEST_TRACEBACK
from papympi.stores.archive import unpack_coded
from papympi.stores.journal import connect
from papympi.stores.rundir import JOURNAL, RunDirectory
from papympi.transport.payload import decode
from papympi.workers.evaluation.attempt import attempt

_PAGE: Final = 1000
"""So many failures are read at a time; with so many a wrong key is compared, to find the one that was meant."""


def read_failures(folder: Path) -> Iterator[Failure]:
    """Yield the failures of a run directory, as they were kept; their exceptions are of classes made by name.

    A page of them is read at a time: they need little memory, and whoever writes the journal can go on.
    """
    query = "SELECT node, key, told, rowid FROM failures WHERE rowid > ? ORDER BY rowid LIMIT ?"
    last = 0
    while rows := _query(folder, query, last, _PAGE):
        last = rows[-1][3]
        found = (attempt(_to_failure, *told)[0] for *told, _ in rows)
        yield from (failure for failure in found if failure is not None)


def read_given(folder: Path, node: str, key: Key) -> list[Any]:
    """Return what the stage of a node was given when it failed at a key.

    Raises:
        JournalError: it did not fail there, or what it was given could not be kept.
    """
    rows = _query(folder, "SELECT given FROM failures WHERE node = ? AND key = ?", node, json.dumps(key))
    if not rows:
        some = islice(read_failures(folder), _PAGE)
        known = {f"{each.node} {','.join(map(str, each.key))}" for each in some}
        wanted = f"{node} {','.join(map(str, key))}"
        way_out = did_you_mean(wanted, known) or f"; papympi failures {folder} lists what failed"
        raise JournalError(f"in {folder} node {node!r} did not fail at item {key}{way_out}")
    if rows[0][0] is None:
        raise JournalError(f"what node {node!r} was given at item {key} was not kept: nothing can pickle it")
    values, error = attempt(decode, unpack_coded(rows[0][0]))
    if error is not None:
        raise ShippingError(f"what node {node!r} was given at item {key} cannot be loaded: {tell(error)}") from error
    given: list[Any] = values
    return given


def _query(folder: Path, query: str, *values: str | int) -> list[Any]:
    run = RunDirectory(folder)
    run.require()
    try:
        with closing(connect(run / JOURNAL, reads=True)) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.Error as error:
        raise JournalError(f"the journal {run / JOURNAL} cannot be read: {error}") from error


def _to_failure(node: str, key_text: str, told_text: str) -> Failure:
    key, told = tuple(map(int, json.loads(key_text))), json.loads(told_text)
    kind = type(clean(told["kind"]), (Exception,), {})
    words = [clean(told[name], LONGEST_TRACEBACK) for name in ("message", "traceback", "input", "worker")]
    message, trace, given, worker = words
    return Failure(clean(node), key, kind(message), trace, given, worker, int(told["attempts"]))
