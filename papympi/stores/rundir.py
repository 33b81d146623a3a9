"""The run directory: what lies in it, and who may use it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, Final

from papympi.errors import JournalError

RECORD: Final = "run.json"
JOURNAL: Final = "journal.sqlite"
EVENTS: Final = "events.jsonl"
FAILURES: Final = "failures.jsonl"
RESULTS: Final = "results.jsonl"


class RunDirectory:
    """A folder that holds all there is of one run; nobody else can write into it.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def make(self) -> None:
        """Make the folder, or see that it can be trusted."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(f"the run directory {self.path} cannot be made: {error.strerror}") from error
        self.check()

    def check(self) -> None:
        """Refuse a folder or a journal that somebody else could have changed: loading what is in it runs code."""
        check_private(self.path)
        if (self / JOURNAL).exists():
            check_private(self / JOURNAL)

    def require(self) -> None:
        """Refuse a folder that no run has used."""
        if not (self / RECORD).is_file():
            raise JournalError(f"{self.path} is no run directory: it has no {RECORD}; papympi run --run-dir makes one")
        self.check()

    def list_runs(self) -> list[RunDirectory]:
        """Return the run directories of the tasks of an array, if that is what this one is for, else this one."""
        parts = [] if (self / RECORD).exists() else [path for path in self.path.glob("part-*") if path.is_dir()]
        return [RunDirectory(path) for path in sorted(parts, key=lambda path: (len(path.name), path.name))] or [self]

    def read_record(self) -> dict[str, Any]:
        """Return what `run.json` says, nothing if it says nothing."""
        try:
            record = json.loads((self / RECORD).read_bytes())
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def write_record(self, record: dict[str, Any]) -> None:
        """Write `run.json`, whole or not at all."""
        part = self / f"{RECORD}.part"
        with open_private(part) as file:
            file.write(json.dumps(record, indent=2, ensure_ascii=False, default=str) + "\n")
        part.replace(self / RECORD)


def check_private(path: Path) -> None:
    """Refuse a file or folder that belongs to another user or that others can write to."""
    try:
        found = path.stat()
    except OSError as error:
        raise JournalError(f"{path} cannot be looked at: {error.strerror}") from error
    if found.st_uid != os.geteuid():
        raise JournalError(
            f"{path} belongs to another user (number {found.st_uid}); loading a journal runs code, so only your own "
            "is read: copy it, or choose another run directory"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise JournalError(
            f"{path} can be written to by others, and loading a journal runs code: see what is in it, then "
            f"chmod go-w {path}"
        )


def open_private(path: Path) -> Any:
    """Return a text file to write that only its owner can read and write."""
    return open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600))
