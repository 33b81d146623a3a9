"""The event stream of a run directory: a line of JSON now and then that says how far the run is."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from papympi.contracts import Statistics

EVERY_S: Final = 1.0
"""The first lines come so often, in seconds; later they come more seldom."""
SELDOM_S: Final = 30.0
_MOST: Final = 1e18
"""Nothing is counted as far as that."""


class Events:
    """Appends to `events.jsonl` from a thread of its own, until it is closed.

    Args:
        path: the file.
        told: what every line says besides.
    """

    def __init__(self, path: Path, told: Callable[[], dict[str, Any]]) -> None:
        self._path = path
        self._told = told
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._write({"event": "opened"})

    def start(self, look: Callable[[], Statistics]) -> None:
        """Begin to watch; `look` says how far the run is, from any thread."""
        self._thread = threading.Thread(target=self._watch, args=(look,), name="papympi-events", daemon=True)
        self._thread.start()

    def close(self, last: Statistics | None, event: str) -> None:
        """Write the last line and end."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._write({"event": event, **(describe(last) if last is not None else {})})

    def _watch(self, look: Callable[[], Statistics]) -> None:
        interval = EVERY_S / 2
        while not self._over.wait(interval):
            self._write({"event": "progress", **describe(look())})
            interval = min(max(interval, EVERY_S) * 1.02, SELDOM_S)

    def _write(self, entry: dict[str, Any]) -> None:
        line = json.dumps({"time": round(time.time(), 3), **self._told(), **entry}).encode() + b"\n"
        with suppress(OSError):  # the journal tells of a disk that is full or gone
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)


def describe(statistics: Statistics) -> dict[str, Any]:
    """Return all fields of the statistics as JSON can say them, but `finished`, which in events is a count."""
    told = asdict(statistics, dict_factory=_to_dict)
    del told["finished"]
    return told


def _to_dict(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return fields by name; times to the millisecond."""
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in fields}


def parse_events(said: bytes) -> list[dict[str, Any]]:
    """Return the entries of an event stream; a line that was cut off, or that is none of its lines, is left out."""
    entries = []
    for line in said.splitlines():
        with suppress(ValueError, RecursionError):
            entries.append(json.loads(line))
    return [entry for entry in entries if isinstance(entry, dict) and _is_sound(entry)]


def _is_sound(entry: dict[str, Any]) -> bool:
    """Return whether an entry has the fields that it should have, each of the kind that it should be."""
    nodes, names = entry.get("nodes"), ["time"]
    if "finished" in entry:
        names.append("finished")
    if nodes is not None:
        names += ["seconds", "pulled", "live", "delivered", "highest", "heaviest"]
        names += [name for name in ("length", "through") if entry.get(name) is not None]
        if not isinstance(nodes, dict) or not all(isinstance(each, dict) for each in nodes.values()):
            return False
    counts = [each.get(name) for each in (nodes or {}).values() for name in ("done", "failed")]
    return all(map(_is_count, [*counts, *(entry.get(name) for name in names)]))


def _is_count(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _MOST
