"""A checksum for each row of a journal: a damaged row counts as absent, and never as another result.

SQLite finds out when its own structure is damaged, and not when the content of a row is. The sums lie in a table of
their own. Triggers write them, so that nobody who writes a row need think of it. They hold for a row at its place, so a
row that takes the place of another is damaged, too.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from typing import Any, Final

COLUMNS: Final = {
    "meta": ("name", "value"),
    "nodes": ("name", "parts"),
    "rows": ("node", "start", "digests"),
    "payloads": ("count", "body"),
    "results": ("node", "runs", "mask", "failed", "payload", "offset"),
    "counts": ("node", "runs", "counts"),
    "states": ("node", "parent", "at", "body"),
    "failures": ("node", "key", "told", "failure", "given"),
}
"""The columns of each table; where there is an `id`, it is the number of the row."""
TABLES: Final = tuple(COLUMNS)
DESCRIPTION: Final = ("meta", "nodes")
"""The tables that say what all others are of."""
SUMS: Final = "CREATE TABLE IF NOT EXISTS sums (id INTEGER PRIMARY KEY, sum BLOB);"
_SIZE: Final = 8
_FUNCTION: Final = "papympi_sum"


def sum_row(table: str, number: int, *values: Any) -> bytes:
    """Return the checksum of a row."""
    made = hashlib.blake2b(f"{table} {number}".encode(), digest_size=_SIZE)
    for value in values:
        data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
        made.update(f" {type(value).__name__} {len(data)} ".encode())
        made.update(data)
    return made.digest()


def place_sum(table: str, number: int) -> int:
    """Return where the sum of a row is."""
    return number * len(TABLES) + TABLES.index(table)


def guard_rows(connection: sqlite3.Connection) -> None:
    """Have the sum of each row written that this connection writes from now on."""
    connection.create_function(_FUNCTION, -1, sum_row, deterministic=True)
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA recursive_triggers = ON")  # for a row that takes the place of another
    for number, (table, columns) in enumerate(COLUMNS.items()):
        new, old = (f"{which}.rowid * {len(TABLES)} + {number}" for which in ("NEW", "OLD"))
        made = f"{_FUNCTION}('{table}', NEW.rowid, {', '.join(f'NEW.{column}' for column in columns)})"
        puts, takes = f"INSERT OR REPLACE INTO sums VALUES ({new}, {made})", f"DELETE FROM sums WHERE id = {old}"  # noqa: S608 - names of our own tables
        connection.execute(f"CREATE TEMP TRIGGER put_{table} AFTER INSERT ON main.{table} BEGIN {puts}; END")
        connection.execute(f"CREATE TEMP TRIGGER take_{table} AFTER DELETE ON main.{table} BEGIN {takes}; END")


def has_sums(connection: sqlite3.Connection) -> bool:
    """Say whether a journal has sums, or is from before there were any."""
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sums'").fetchone())


def sign_all(connection: sqlite3.Connection) -> None:
    """Write the sums of all rows of a journal that had none."""
    connection.create_function(_FUNCTION, -1, sum_row, deterministic=True)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(SUMS)
    for number, (table, columns) in enumerate(COLUMNS.items()):
        made = f"{_FUNCTION}('{table}', rowid, {', '.join(columns)})"
        connection.execute(f"INSERT INTO sums SELECT rowid * {len(TABLES)} + {number}, {made} FROM {table}")  # noqa: S608 - names of our own tables
    connection.execute("COMMIT")


def read_sums(connection: sqlite3.Connection) -> dict[int, bytes]:
    """Return all sums, by their places."""
    return dict(connection.execute("SELECT id, sum FROM sums"))


def find_bad(connection: sqlite3.Connection, *, bodies: bool) -> Iterator[str]:
    """Yield a word about each row that is damaged; `bodies`: look at the values of results, too.

    A row that is gone is absent anyway, unless others depend on what it says of the run.
    """
    sums = read_sums(connection)
    for table, columns in COLUMNS.items():
        read = ", ".join(columns) if bodies or table != "payloads" else "count"
        for number, *values in connection.execute(f"SELECT rowid, {read} FROM {table}"):  # noqa: S608 - names of our own tables
            sum_there = sums.pop(place_sum(table, number), None)
            if sum_there is None or (len(values) == len(columns) and sum_row(table, number, *values) != sum_there):
                yield f"row {number} of {table}"
    for place in sums:
        if TABLES[place % len(TABLES)] in DESCRIPTION:
            yield f"row {place // len(TABLES)} of {TABLES[place % len(TABLES)]}"


def find_payload(connection: sqlite3.Connection, number: int) -> bytes | None:
    """Return the body of a payload; `None`: it is not there, or not what it was, which the next look finds, too."""
    place = place_sum("payloads", number)
    query = "SELECT count, body, (SELECT sum FROM sums WHERE id = ?) FROM payloads WHERE id = ?"
    count, body, made = connection.execute(query, (place, number)).fetchone() or (None, None, None)
    if body is None or sum_row("payloads", number, count, body) == made:
        found: bytes | None = body
        return found
    connection.execute("DELETE FROM sums WHERE id = ?", (place,))
    return None
