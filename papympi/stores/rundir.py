"""The run directory: what lies in it, and who may use it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
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
        check_private(self.path, stat.S_ISDIR)
        if os.path.lexists(self / JOURNAL):
            check_private(self / JOURNAL)

    def require(self) -> None:
        """Refuse a folder that no run has used."""
        if not self.has(RECORD):
            raise JournalError(f"{self.path} is no run directory: it has no {RECORD}; papympi run --run-dir makes one")
        self.check()

    def has(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        return (self / name).is_file()

    def read(self, name: str) -> bytes:
        """Return what a file says, b"" if there is none; one that somebody else could have written is refused."""
        return read_own(self / name)

    def list_runs(self) -> list[RunDirectory]:
        """Return the run directories of the tasks of an array, if that is what this one is for, else this one.

        Raises:
            JournalError: one is a link, which may lead anywhere.
        """
        parts = [] if self.has(RECORD) else [path for path in self.path.glob("part-*") if path.is_dir()]
        for path in parts:
            if path.is_symlink():
                raise JournalError(f"{path} is a link: name the folder that it leads to, or put that in its place")
        return [RunDirectory(path) for path in sorted(parts, key=lambda path: (len(path.name), path.name))] or [self]

    def read_record(self) -> dict[str, Any]:
        """Return what `run.json` says, nothing if it says nothing."""
        return read_object(self.read(RECORD))

    def write_record(self, record: dict[str, Any]) -> None:
        """Write `run.json`, whole or not at all."""
        part = self / f"{RECORD}.part"
        with open_private(part) as file:
            file.write(json.dumps(record, indent=2, ensure_ascii=False, default=str) + "\n")
        part.replace(self / RECORD)


def read_own(path: Path) -> bytes:
    """Return what a file says, b"" if there is none.

    Raises:
        JournalError: it is no file, or somebody else could have written it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error.strerror}") from error
    try:
        _check(path, os.fstat(descriptor), stat.S_ISREG)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def read_object(said: bytes) -> dict[str, Any]:
    """Return the JSON object that a file says, an empty one if it says none."""
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def check_private(path: Path, is_kind: Callable[[int], bool] = stat.S_ISREG) -> None:
    """Refuse a file or folder that belongs to another user or that others can write to."""
    try:
        found = path.stat() if is_kind is stat.S_ISDIR else path.lstat()
    except OSError as error:
        raise JournalError(f"{path} cannot be looked at: {error.strerror}") from error
    _check(path, found, is_kind)


def _check(path: Path, found: os.stat_result, is_kind: Callable[[int], bool]) -> None:
    if not is_kind(found.st_mode):
        wanted = "folder" if is_kind is stat.S_ISDIR else "file"
        raise JournalError(f"{path} is no {wanted}: see what it is, or choose another run directory")
    if found.st_uid != os.geteuid():
        raise JournalError(
            f"{path} belongs to another user (number {found.st_uid}); what a run directory says runs code and ends "
            "processes, so only your own is read: copy it, or choose another run directory"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise JournalError(
            f"{path} can be written to by others, and what a run directory says runs code: see what is in it, then "
            f"chmod go-w {path}"
        )


def open_private(path: Path) -> Any:
    """Return a text file to write that only its owner can read and write; names that are not UTF-8 become escapes."""
    return open(path, "w", encoding="utf-8", errors="backslashreplace", opener=_open_private)


def _open_private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
