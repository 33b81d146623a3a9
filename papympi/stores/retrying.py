"""What of a journal is forgotten so that failed items are tried again: the failures, and all that came of them."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from papympi.model.item import Key
from papympi.plan.plan import Plan, Step
from papympi.stores.archive import bitmap_to_bytes, bytes_to_bitmap
from papympi.stores.journal import DOUBT
from papympi.transport.bitmap import clip_bitmap

Stale = dict[str, set[Key]]
"""For each node the keys below which (themselves included) what is known depends on a failure."""


def forget_doubtful(connection: sqlite3.Connection, plan: Plan) -> None:
    """Forget failures that may have been caused by whatever ended the last attempt.

    Whoever ends a job ends all its processes, also programs that nodes have started: the items that use them fail.
    """
    found = connection.execute("SELECT value FROM meta WHERE name = ?", (DOUBT,)).fetchone()
    if found is not None:
        forget_failures(connection, plan, float(found[0]))
        connection.execute("DELETE FROM meta WHERE name = ?", (DOUBT,))


def forget_failures(connection: sqlite3.Connection, plan: Plan, since: float = 0.0) -> None:
    """Take failures and everything that depends on them out of a journal.

    Args:
        connection: to the journal.
        plan: what is run.
        since: only those that came back from a worker after this time.
    """
    failures = [
        (node, tuple(json.loads(key)))
        for node, key, told in connection.execute("SELECT node, key, told FROM failures")
        if json.loads(told).get("time", 0.0) >= since
    ]
    stale: Stale = {}
    for node, key in failures:
        for step in plan.steps:
            stage = plan.program.stages.get(step.number)
            if stage is not None and any(call.node == node for call in stage.calls):
                _spread(step, key, stale)
    connection.execute("BEGIN IMMEDIATE")
    _forget_results(connection, stale)
    _forget_counts(connection, stale)
    for node, parent in connection.execute("SELECT node, parent FROM states").fetchall():
        if is_stale(stale, node, tuple(json.loads(parent))):
            connection.execute("DELETE FROM states WHERE node = ? AND parent = ?", (node, parent))
    places = [(node, json.dumps(key)) for node, key in failures]
    connection.executemany("DELETE FROM failures WHERE node = ? AND key = ?", places)
    connection.execute("COMMIT")


def is_stale(stale: Stale, node: str, key: Key) -> bool:
    """Return whether what is known of a node at a key depends on a failure."""
    keys = stale.get(node, set())
    return any(key[:depth] in keys for depth in range(len(key) + 1))


def _spread(step: Step, key: Key, stale: Stale) -> None:
    """Note what depends on the results of a step at a key, as far as keys stay those of the same items."""
    todo, seen = [(step, len(key))], {(step, len(key))}
    while todo:
        current, depth = todo.pop()
        depth = min(depth, _same_depth(current))
        for stream in current.outputs:
            stale.setdefault(stream.node, set()).add(key[:depth])
            for consumer, _ in stream.consumers:
                if (consumer, depth) not in seen:
                    seen.add((consumer, depth))
                    todo.append((consumer, depth))


def _same_depth(step: Step) -> int:
    """Return how much of a key a step leaves as it is."""
    if step.kind in {"gather", "fold", "group"}:
        return step.space.parent.depth if step.space.parent is not None else 0
    return step.space.depth


def _forget_results(connection: sqlite3.Connection, stale: Stale) -> None:
    query = "SELECT id, node, runs, mask, failed, payload, offset FROM results"
    for number, node, runs, valid, failed, payload, offset in connection.execute(query).fetchall():
        if node not in stale:
            continue
        places = list(enumerate(_keys(json.loads(runs))))
        good = [(at, key) for at, key in places if not is_stale(stale, node, key)]
        if len(good) == len(places):
            continue
        connection.execute("DELETE FROM results WHERE id = ?", (number,))
        bitmaps = bytes_to_bitmap(valid), bytes_to_bitmap(failed)
        for at, key in good:
            there = clip_bitmap(bitmaps[0], at, at + 1)
            row = (node, json.dumps([[key[:-1], key[-1], 1]]), bitmap_to_bytes(there), b"\0", payload, offset + at)
            connection.execute(
                "INSERT INTO results (node, runs, mask, failed, payload, offset) VALUES (?, ?, ?, ?, ?, ?)", row
            )


def _forget_counts(connection: sqlite3.Connection, stale: Stale) -> None:
    for number, node, runs, counts in connection.execute("SELECT id, node, runs, counts FROM counts").fetchall():
        if node not in stale:
            continue
        places = list(zip(_keys(json.loads(runs)), json.loads(counts), strict=False))
        good = [(key, count) for key, count in places if not is_stale(stale, node, key)]
        if len(good) < len(places):
            connection.execute("DELETE FROM counts WHERE id = ?", (number,))
            for key, count in good:
                row = (node, json.dumps([[key[:-1], key[-1], 1]]), json.dumps([count]))
                connection.execute("INSERT INTO counts (node, runs, counts) VALUES (?, ?, ?)", row)


def _keys(runs: list[Any]) -> list[Key]:
    """Return the keys of runs one by one; no run at all is the one position of the whole run."""
    return [(*parent, position) for parent, first, count in runs for position in range(first, first + count)] or [()]
