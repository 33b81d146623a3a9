"""The files of all failures of a run: in the order of their items, however many there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from papympi.formats.output_files import encode_failure, write_whole
from papympi.model.failures import FailureLog
from papympi.model.item import Failure
from papympi.model.telling import tell
from papympi.stores.rundir import open_private
from papympi.workers.evaluation.attempt import attempt

if TYPE_CHECKING:
    import sqlite3


Row = tuple[bytes, str, bytes]
_PLACE: Final = itemgetter(0, 1)


class RunFailures(FailureLog):
    """The failures of one run, and the files in which all of them are to stand when it has ended.

    Those that memory has no room for wait on the disk, in a file without a name.

    Attributes:
        files: where they go, if there are any; with `True` it is a file of this run alone: nobody else may read it, and
            what an earlier attempt has left there is not true any more.

    Args:
        own: the file in the run directory, if there is one.
    """

    def __init__(self, own: Path | None = None) -> None:
        super().__init__(self._put)
        self.files: dict[Path, bool] = {} if own is None else {own: True}
        self._spool: sqlite3.Connection | None = None
        self._lost, self._why = 0, ""

    def list_notes(self) -> list[str]:
        """Return what the summary has to say of those that are kept nowhere."""
        if self._why:
            return [f"{self._lost} failures are not in {next(iter(self.files))}: {self._why}"]
        if self.files or self.count == len(self.first):
            return []
        kept = f"run.failures has the first {len(self.first)} of {self.count} failures"
        return [f"{kept}; a run directory or run.write_failures() keeps all of them"]

    def _put(self, failures: Sequence[Failure]) -> None:
        """Keep failures on the disk. A run does not end because there is no room: then they are only counted."""
        if self.files and not self._lost:
            _, error = attempt(self._write_down, failures)
            if error is None:
                return
            self._why = f"the folder for temporary files took no more: {tell(error)}"
        self._lost += len(failures)

    def _write_down(self, failures: Sequence[Failure]) -> None:
        if self._spool is None:
            self._spool = _open_spool()
        self._spool.executemany("INSERT INTO failures VALUES (?, ?, ?)", map(_to_row, failures))

    def write(self) -> None:
        """Write them all."""
        with ExitStack() as stack:
            if self._spool is not None:
                stack.callback(self._spool.close)
            for path, is_own in self.files.items():
                if self.count:
                    stack.callback(self._write_file, path, is_own=is_own)
                elif is_own:
                    path.unlink(missing_ok=True)

    def _write_file(self, path: Path, *, is_own: bool) -> None:
        if is_own:
            open_private(path.with_name(f"{path.name}.part")).close()
        first = sorted(map(_to_row, self.first), key=_PLACE)
        rest = _read_sorted(self._spool) if self._spool is not None else ()
        write_whole(path, (line for _, _, line in merge(first, rest, key=_PLACE)))


def _open_spool() -> sqlite3.Connection:
    """Return a database that is in memory while it is small, else in a file that is gone when this process is."""
    import sqlite3

    connection = sqlite3.connect("", check_same_thread=False)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("CREATE TABLE failures (place BLOB, node TEXT, line BLOB)")
    return connection


def _read_sorted(spool: sqlite3.Connection) -> Iterator[Row]:
    """Yield the rows of a spool in order; it sorts without their lines, which need not fit into memory."""
    for place, node, number in spool.execute("SELECT place, node, rowid FROM failures ORDER BY place, node"):
        yield place, node, spool.execute("SELECT line FROM failures WHERE rowid = ?", (number,)).fetchone()[0]


def _to_row(failure: Failure) -> Row:
    """Return a failure as a line of JSON, behind what it is sorted by: bytes that are greater if the key is greater."""
    place = b"".join(part.to_bytes(8, "big") for part in failure.key)
    return place, failure.node, encode_failure(failure)
