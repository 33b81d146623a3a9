"""What to do with a journal that is damaged: everything that can still be read goes into a new one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from papympi.errors import JournalError
from papympi.stores.journal import SCHEMA, connect
from papympi.stores.rundir import open_private
from papympi.stores.sums import (
    COLUMNS,
    DESCRIPTION,
    SUMS,
    TABLES,
    find_bad,
    guard_rows,
    has_sums,
    place_sum,
    sign_all,
    sum_row,
)
from papympi.workers.evaluation.attempt import attempt

THOROUGH_BYTES: Final = 256 << 20
"""A journal up to this size is read through before it is used; of a larger one only the length is looked at."""
_PAGE: Final = slice(16, 18)
_PAGES: Final = slice(28, 32)


def open_sound(path: Path) -> tuple[sqlite3.Connection, str]:
    """Return a connection to a journal that is sound and has its tables, and a note about what was lost, or "".

    Raises:
        JournalError: the file cannot be used at all, for a reason that is not in it.
    """
    if not path.exists():
        open_private(path).close()
    note = ""
    trouble = _find_trouble(path)
    if trouble:
        note = _repair(path, trouble)
    try:
        connection = connect(path)
        connection.executescript(SCHEMA)
        if not has_sums(connection):
            sign_all(connection)
        guard_rows(connection)
    except sqlite3.Error as error:
        raise JournalError(f"the journal {path} cannot be opened: {error}") from error
    return connection, note


def _find_trouble(path: Path) -> str:
    """Return what is wrong with a journal, or ""."""
    size = path.stat().st_size
    if not size:
        return ""
    with path.open("rb") as file:
        head = file.read(100)
    page, pages = int.from_bytes(head[_PAGE], "big"), int.from_bytes(head[_PAGES], "big")
    if not head.startswith(b"SQLite format 3\0"):
        return "its head is damaged"
    hot = path.with_name(f"{path.name}-journal").exists()
    if not hot and pages and size < pages * (65536 if page == 1 else page):
        return "its end is missing"
    found, error = attempt(_look_through, path, size <= THOROUGH_BYTES)
    return str(error) if error is not None else str(found).strip().rpartition("\n")[2]


def _look_through(path: Path, thorough: bool) -> str:  # noqa: FBT001 - of one caller
    """Return what is wrong with the structure or the rows of a journal, or ""."""
    with closing(connect(path)) as connection:
        connection.text_factory = _decode
        if thorough and (said := str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])) != "ok":
            return said
        if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            return ""
        return next(find_bad(connection, bodies=thorough), "") if has_sums(connection) else ""


def _decode(data: bytes) -> str:
    """Return a text, whatever has become of it."""
    return data.decode("utf-8", "surrogateescape")


def _repair(path: Path, trouble: str) -> str:
    """Copy what can be read into a new journal, put that in the place of the old one, and say so."""
    fresh, damaged = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.damaged")
    fresh.unlink(missing_ok=True)
    open_private(fresh).close()
    kept = 0
    with closing(connect(fresh)) as target:
        target.executescript(SCHEMA + SUMS)
        guard_rows(target)
        target.execute("BEGIN")
        source, error = attempt(connect, path)
        if error is None:
            source.text_factory = _decode
            kept = _copy_good(source, target)
            source.close()
        target.execute("COMMIT")
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    path.replace(damaged)
    fresh.replace(path)
    return (
        f"the journal was damaged ({trouble}); {kept} entries of results could be saved, what is missing is computed "
        f"again. The damaged file is {damaged}"
    )


def _copy_good(source: sqlite3.Connection, target: sqlite3.Connection) -> int:
    """Copy the rows that are what they were, if what they belong to is known; return how many entries of results."""
    sums = {number: made for number, made in _read_table(source, "sums", "sum") if isinstance(made, bytes)}
    known = attempt(has_sums, source)[0]
    kept = 0
    for table, columns in COLUMNS.items():
        for row in _read_table(source, table, *columns):
            made, _ = attempt(sum_row, table, *row)
            if made == sums.pop(place_sum(table, row[0]), None) or not known:
                places, marks = ", ".join(("rowid", *columns)), ", ".join("?" * len(row))
                statement = f"INSERT OR IGNORE INTO {table} ({places}) VALUES ({marks})"  # noqa: S608 - names of our own tables
                kept += attempt(target.execute, statement, row)[1] is None and table == "results"
            elif table in DESCRIPTION:
                return 0
        if any(place % len(TABLES) == TABLES.index(table) for place in sums) and table in DESCRIPTION:
            return 0
    return kept


def _read_table(connection: sqlite3.Connection, table: str, *columns: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table that can be read, each with its number in front, passing over those that cannot."""
    at, skip = 0, 1
    while skip < 1 << 40:
        row, error = attempt(_next_row, connection, table, columns, at)
        if error is not None:
            at, skip = at + skip, 2 * skip
        elif row is None:
            return
        else:
            at, skip = row[0] + 1, 1
            yield row


def _next_row(connection: sqlite3.Connection, table: str, columns: tuple[str, ...], at: int) -> tuple[Any, ...] | None:
    query = f"SELECT rowid, {', '.join(columns)} FROM {table} WHERE rowid >= ? ORDER BY rowid LIMIT 1"  # noqa: S608 - names of our own tables
    row: tuple[Any, ...] | None = connection.execute(query, (at,)).fetchone()
    return row
