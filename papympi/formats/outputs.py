"""Outputs: results written to a file by its suffix, whole at the end or cut off, never half a row."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import pickle
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from papympi.contracts import Writer, WriterFactory
from papympi.errors import OptionError, PapympiError, ShippingError
from papympi.formats.plain import plain_key, to_plain, to_record
from papympi.model.item import Failure, Result


class JsonLines:
    """One JSON object a line: `{"node": ..., "key": [...], "value": ...}`.

    What JSON does not know becomes what is nearest (see `to_plain`), else its `repr`; then the object says
    `"repr": true`.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, result: Result) -> None:
        """Write one result as one line."""
        self._file.write(to_line(result).encode() + b"\n")

    def close(self) -> None:
        """Nothing is left."""


class Csv:
    """A table: node, key, and a column for each field of the values (dicts, records, tuples), else `value`.

    A value with a field that no earlier one had gets its column, too: the head is written anew at the end.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._columns: dict[str, None] = {}
        self._head = 0

    def write(self, result: Result) -> None:
        """Write one result as one row."""
        fields = _to_fields(result.value)
        self._columns.update(dict.fromkeys(fields))
        if not self._head:
            self._head = len(self._columns)
            self._write_row(["node", "key", *self._columns])
        cells = [_to_cell(fields.get(column)) for column in self._columns]
        self._write_row([result.node, json.dumps(list(result.key)), *cells])

    def close(self) -> None:
        """Write the head if no row did, or anew if rows brought columns that it lacks."""
        if not self._head:
            self._write_row(["node", "key", "value"])
        elif self._head < len(self._columns):
            self._rewrite()

    def _rewrite(self) -> None:
        if not self._file.seekable():
            return
        self._file.seek(0)
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(self._file, copy)
            copy.seek(0)
            rows = csv.reader(io.TextIOWrapper(copy, encoding="utf-8", newline=""))
            next(rows)
            self._file.seek(0)
            self._write_row(["node", "key", *self._columns])
            for row in rows:
                self._write_row(row + [""] * (2 + len(self._columns) - len(row)))

    def _write_row(self, cells: list[str]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        self._file.write(_encode(line.getvalue()))


class Pickles:
    """One pickled tuple `(node, key, value)` behind the other; by dill where pickle refuses."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, result: Result) -> None:
        """Write one result as one pickle.

        Raises:
            ShippingError: neither pickle nor dill can carry the value.
        """
        row = (result.node, result.key, result.value)
        try:
            data = pickle.dumps(row, protocol=5)
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError):
            data = _dill(row)
        self._file.write(data)

    def close(self) -> None:
        """Nothing is left."""


WRITERS: dict[str, WriterFactory] = {".jsonl": JsonLines, ".csv": Csv, ".pkl": Pickles}
"""The built-in writers, by suffix."""


@contextlib.contextmanager
def open_output(path: Path, writers: Mapping[str, WriterFactory] | None = None) -> Iterator[Writer]:
    """Open a file for results by its suffix. It appears under its name at the end, however the end comes.

    Until then it is called `NAME.part`. When nothing was written and an exception ends the block, it does not appear.

    Raises:
        OptionError: no writer for this suffix.
        PapympiError: the file cannot be written.
    """
    writers = WRITERS if writers is None else writers
    if path.suffix not in writers:
        known = ", ".join(sorted(writers))
        raise OptionError(f"cannot write {path.name!r}: the suffix of an output is one of {known}, or - for stdout")
    with open_part(path) as file:
        writer = _Named(writers[path.suffix](file), path)
        finished = False
        try:
            yield writer
            finished = True
        finally:
            if finished or (not writer.broken and _has_rows(file)):
                writer.close()


class _Named:
    """A writer that says the name of its file in what it raises.

    Attributes:
        broken: it has raised something else than an error of its own about one result.
    """

    def __init__(self, writer: Writer, path: Path) -> None:
        self.broken = False
        self._writer = writer
        self._path = path

    def write(self, result: Result) -> None:
        """Write one result."""
        try:
            self._writer.write(result)
        except PapympiError:
            raise
        except Exception as error:
            self.broken = True
            raise _explain(self._path, error) from error

    def close(self) -> None:
        """Write what is left."""
        try:
            self._writer.close()
        except PapympiError:
            raise
        except Exception as error:
            raise _explain(self._path, error) from error


def _explain(path: Path, error: Exception) -> PapympiError:
    """Return the error that says which file cannot be written, and why."""
    told = error.strerror if isinstance(error, OSError) else ""
    return PapympiError(f"cannot write {str(path)!r}: {told or f'{type(error).__name__}: {error}'}")


def write_failures(path: Path, failures: Iterable[Failure]) -> None:
    """Write failures as JSON lines.

    Raises:
        PapympiError: the file cannot be written.
    """
    with open_part(path) as file:
        for failure in failures:
            row = {
                "node": failure.node,
                "key": failure.key,
                "error": type(failure.error).__name__,
                "message": str(failure.error),
                "input": failure.input,
                "worker": failure.worker,
                "attempts": failure.attempts,
                "traceback": failure.traceback,
            }
            file.write(_encode(json.dumps(row, ensure_ascii=False)) + b"\n")


@contextlib.contextmanager
def open_part(path: Path) -> Iterator[IO[bytes]]:
    """Open a file under the name `NAME.part` and give it its own name at the end.

    It is removed instead if an exception ends the block and nothing was written. Pipes and devices are written
    directly.
    """
    path = path.resolve()
    special = path.exists() and not path.is_file()
    part = path if special else path.with_name(path.name + ".part")
    try:
        file = part.open("wb" if special else "w+b")
    except OSError as error:
        raise _explain(path, error) from error
    worth = False
    try:
        try:
            yield file
            worth = True
        finally:
            worth = worth or _has_rows(file)
            _close(file, path)
    finally:
        if worth and not special:
            part.replace(path)
        elif not special:
            part.unlink()


def _has_rows(file: IO[bytes]) -> bool:
    """Return whether something was written; of a pipe one cannot know, and assumes it."""
    return not file.seekable() or file.tell() > 0


def _close(file: IO[bytes], path: Path) -> None:
    """Write what the file still holds back, and close it."""
    try:
        file.close()
    except OSError as error:
        raise _explain(path, error) from error


def to_line(result: Result) -> str:
    """Return a result as one line of JSON lines."""
    row: dict[str, Any] = {"node": result.node, "key": result.key}
    value, exact = to_plain(result.value)
    row["value"] = value
    if not exact:
        row["repr"] = True
    return _encode(json.dumps(row, ensure_ascii=False)).decode()


def _to_fields(value: Any) -> dict[str, Any]:
    """Return the columns of a value in a table."""
    fields = to_record(value)
    if fields is not None:
        return {plain_key(key): item for key, item in fields.items()}
    if isinstance(value, tuple):
        return {f"value_{number}": item for number, item in enumerate(value)}
    return {"value": value}


def _to_cell(value: Any) -> str:
    """Return a value as the text of one cell: strings as they are, nothing for `None`, JSON for the rest."""
    plain, _ = to_plain(value)
    if plain is None:
        return ""
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _encode(text: str) -> bytes:
    """Return text as UTF-8; what that cannot say, such as file names in another encoding, becomes an escape."""
    return text.encode(errors="backslashreplace")


def _dill(row: tuple[Any, ...]) -> bytes:
    """Return the dilled form of a row."""
    import dill

    try:
        return bytes(dill.dumps(row, protocol=5))
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError, ValueError) as error:
        raise ShippingError(f"the result {row[1]} of node {row[0]!r} cannot be pickled: {error}") from error
