"""The formats of files: for each suffix what reads items, what writes results, and how merged results are copied."""

from __future__ import annotations

import csv
import io
import json
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import IO, Any, Final

from papympi.contracts import Reader, WriterFactory
from papympi.errors import InputError, ShippingError
from papympi.formats.json_values import dump, load, plain_key, to_plain, to_record
from papympi.model.item import Result
from papympi.model.telling import tell

ENCODING: Final = "utf-8-sig"
"""UTF-8, with or without the mark that Excel begins its files with."""


class RowFile:
    """Writes results one behind the other, each as the bytes that are made of it."""

    def __init__(self, file: IO[bytes], to_bytes: Callable[[Result], bytes]) -> None:
        self._file = file
        self._to_bytes = to_bytes

    def write(self, result: Result) -> None:
        """Write one result."""
        self._file.write(self._to_bytes(result))

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
        self._file.write(encode_text(line.getvalue()))


def read_lines(path: Path) -> Iterable[str]:
    """Yield the lines of a text file without their ends; what is not UTF-8 survives as in file names."""
    with path.open(encoding=ENCODING, errors="surrogateescape") as lines:
        yield from strip_ends(lines)


def read_jsonl(path: Path) -> Iterable[Any]:
    """Yield the value of each line of a JSON lines file."""
    for number, line in enumerate(read_lines(path), 1):
        if line.strip():
            try:
                yield load(line)
            except ValueError as error:
                raise InputError(f"{path}, line {number}: not JSON: {error}") from error


def read_csv(path: Path) -> Iterable[dict[str, str]]:
    """Yield each row of a CSV file as a dict by the names in its first row."""
    with path.open(encoding=ENCODING, newline="") as file:
        yield from csv.DictReader(file)


def read_pickles(path: Path) -> Iterable[Any]:
    """Yield the objects of a file of pickles, one behind the other."""
    with path.open("rb") as file:
        while file.peek(1):
            yield pickle.load(file)


def to_line(result: Result) -> str:
    """Return a result as one JSON object in a line: `{"node": ..., "key": [...], "value": ...}`.

    What JSON does not know becomes what is nearest (see `to_plain`), else its `repr`; then the object says
    `"repr": true`.
    """
    row: dict[str, Any] = {"node": result.node, "key": result.key}
    value, exact = to_plain(result.value)
    row["value"] = value
    if not exact:
        row["repr"] = True
    return encode_text(dump(row)).decode()


def encode_text(text: str) -> bytes:
    """Return text as UTF-8; what that cannot say, such as file names in another encoding, becomes an escape."""
    return text.encode(errors="backslashreplace")


def read_stdin() -> Iterable[str]:
    """Return the lines of standard input, as those of a file."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding=ENCODING, errors="surrogateescape", newline=None)
    return strip_ends(sys.stdin)


def strip_ends(lines: IO[str]) -> Iterator[str]:
    """Yield lines without their ends."""
    return (line.removesuffix("\n") for line in lines)


def _to_fields(value: Any) -> dict[str, Any]:
    """Return the columns of a value in a table."""
    fields = to_record(value)
    if fields is not None:
        return {plain_key(key): item for key, item in fields.items()}
    if isinstance(value, tuple):
        return {f"value_{number}": item for number, item in enumerate(value)}
    return {"value": value}


def _to_cell(value: Any) -> str:
    """Return a value as the text of one cell: strings as they are, nothing for `None`, "nan", JSON for the rest."""
    plain, _ = to_plain(value)
    if plain is None:
        return "" if value is None else str(value)
    return plain if isinstance(plain, str) else dump(plain)


def _encode_line(result: Result) -> bytes:
    """Return a result as a line of a file of JSON lines."""
    return to_line(result).encode() + b"\n"


def _pickle_row(result: Result) -> bytes:
    """Return the pickled tuple `(node, key, value)`; by dill where pickle refuses."""
    row = (result.node, result.key, result.value)
    try:
        return pickle.dumps(row, protocol=5)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError):
        import dill
    try:
        return bytes(dill.dumps(row, protocol=5))
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError, ValueError) as error:
        raise ShippingError(
            f"the result {result.key} of node {result.node!r} cannot be pickled: {tell(error)}"
        ) from error


def _read_line_rows(path: Path) -> Iterator[Result]:
    """Yield the lines of a file of JSON lines as they are, each with the key of its result."""
    with path.open("rb") as file:
        for line in file:
            row = load(line)
            yield Result(row["node"], tuple(row["key"]), line)


def _read_table_rows(path: Path) -> Iterator[Result]:
    """Yield the rows of a table as results with the cells that are not empty."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        head = next(rows, [])
        for node, key, *cells in rows:
            fields = {name: cell for name, cell in zip(head[2:], cells, strict=False) if cell}
            yield Result(node, tuple(json.loads(key)), fields)


def _read_pickle_rows(path: Path) -> Iterator[Result]:
    """Yield the pickles of a file as they are, each with the key of its result."""
    with path.open("rb") as file:
        while file.peek(1):
            begin = file.tell()
            node, key, _ = pickle.load(file)
            end = file.tell()
            file.seek(begin)
            yield Result(node, key, file.read(end - begin))


@dataclass(frozen=True, slots=True)
class FileFormat:
    """All there is to say of a format of files.

    Attributes:
        read: reads an input file.
        write: makes what writes results.
        read_rows: yields the results of a file that `write` has written, one after the other, for `papympi merge`.
        copy: makes what writes those results as `write` would have written them.
        needs_pipeline: its rows are pickles, which can be read only where the pipeline has been imported.
    """

    read: Reader
    write: WriterFactory
    read_rows: Callable[[Path], Iterator[Result]]
    copy: WriterFactory
    needs_pipeline: bool = False


_copy_rows = partial(RowFile, to_bytes=attrgetter("value"))
"""Writes rows as bytes that `read_rows` has found in other files."""

FORMATS: Final = {
    ".jsonl": FileFormat(read_jsonl, partial(RowFile, to_bytes=_encode_line), _read_line_rows, _copy_rows),
    ".csv": FileFormat(read_csv, Csv, _read_table_rows, Csv),
    ".pkl": FileFormat(
        read_pickles, partial(RowFile, to_bytes=_pickle_row), _read_pickle_rows, _copy_rows, needs_pipeline=True
    ),
}
"""The built-in formats, by suffix: a new one is added here, and everything else finds it."""

READERS: Final[dict[str, Reader]] = {suffix: each.read for suffix, each in FORMATS.items()}
WRITERS: Final[dict[str, WriterFactory]] = {suffix: each.write for suffix, each in FORMATS.items()}


def list_suffixes(conjunction: str) -> str:
    """Return the suffixes of the built-in formats as a sentence lists them, e.g. ".jsonl, .csv or .pkl"."""
    *some, last = FORMATS
    return f"{', '.join(some)} {conjunction} {last}"
