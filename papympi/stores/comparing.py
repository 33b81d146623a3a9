"""Whether a journal may be used: papympi, the code of the nodes and the share of the inputs must be what they were."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence

from papympi.errors import JournalError
from papympi.plan.wiring import Wiring
from papympi.stores.fingerprint import Fingerprint, find_changes, fingerprint_nodes, list_upstream

_WAY_OUT = "begin in another run directory, or use the old results all the same with --force"


def compare(connection: sqlite3.Connection, told: Mapping[str, str], wiring: Wiring, *, force: bool) -> None:
    """Compare a journal with what is to run, and note in it what that is.

    Args:
        connection: to the journal.
        told: versions and options that must be the same.
        wiring: of the nodes that are to run.
        force: let differences pass.

    Raises:
        JournalError: something has changed; says what.
    """
    fingerprints = fingerprint_nodes(wiring)
    if not force:
        _compare_told(connection, told)
        _compare_code(connection, fingerprints, wiring)
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(told.items()))
    rows = [(name, json.dumps(parts)) for name, parts in fingerprints.items()]
    connection.executemany("INSERT OR REPLACE INTO nodes VALUES (?, ?)", rows)
    connection.execute("COMMIT")


def _compare_told(connection: sqlite3.Connection, told: Mapping[str, str]) -> None:
    known = dict(connection.execute("SELECT name, value FROM meta"))
    for name, value in told.items():
        if name in known and known[name] != value:
            what = "by papympi" if name == "papympi" else f"with {name}"
            raise JournalError(f"the journal was written {what} {known[name]}, this is {value}; {_WAY_OUT}")


def _compare_code(connection: sqlite3.Connection, fingerprints: Mapping[str, Fingerprint], wiring: Wiring) -> None:
    known: dict[str, Fingerprint] = {
        name: json.loads(parts) for name, parts in connection.execute("SELECT name, parts FROM nodes")
    }
    kept: dict[str, None] = {}
    for table in ("results", "counts", "states"):
        for (name,) in connection.execute(f"SELECT DISTINCT node FROM {table}"):  # noqa: S608 - names of our own tables
            kept.update(dict.fromkeys(list_upstream(wiring, name.partition("[")[0])))
    for name in kept:
        before = known.get(name)
        if before is not None and (changes := find_changes(before, fingerprints[name])):
            what = _describe(changes, before, fingerprints[name])
            label = wiring.graph.nodes[name].label
            raise JournalError(f"{label} is not what it was when the journal was written: {what}; {_WAY_OUT}")


def _describe(changes: Sequence[str], before: Fingerprint, now: Fingerprint) -> str:
    """Return in a clause what of a node has changed."""
    inner = [name for name in changes if name not in {"function", "options"}]
    own = next(iter(name for name in now if name not in {"function", "options"}), "")
    if inner:
        name = next((name for name in inner if name != own), own)
        verb = "has changed" if name in before and name in now else "is new" if name in now else "is gone"
        return f"{name} {verb}" if name == own else f"{name}, which it uses, {verb}"
    return "its options or inputs have changed" if "options" in changes else "its function is another"
