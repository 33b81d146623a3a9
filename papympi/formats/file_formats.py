"""The formats of files: for each suffix what reads items, what writes results, and how merged results are copied."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import IO, Any, Final

from papympi.contracts import Reader, WriterFactory
from papympi.errors import ShippingError
from papympi.formats.json_values import NonFinite, dump, load, to_plain
from papympi.formats.tables import PLAIN_STYLE, Csv, WriteStyle, read_table_rows
from papympi.formats.text_files import read_csv, read_jsonl
from papympi.model.item import Result
from papympi.model.telling import tell


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


def read_pickles(path: Path) -> Iterable[Any]:
    """Yield the objects of a file of pickles, one behind the other."""
    with path.open("rb") as file:
        while file.peek(1):
            yield pickle.load(file)


def to_line(result: Result, non_finite: NonFinite = "null") -> str:
    """Return a result as one JSON object in a line: `{"node": ..., "key": [...], "value": ...}`.

    What JSON does not know becomes what is nearest (see `to_plain`), else its `repr`; then the object says
    `"repr": true`.
    """
    row: dict[str, Any] = {"node": result.node, "key": list(result.key)}
    value, exact = to_plain(result.value)
    row["value"] = value
    if not exact:
        row["repr"] = True
    return dump(row, non_finite)


def write_lines(file: IO[bytes], style: WriteStyle = PLAIN_STYLE) -> RowFile:
    """Return what writes JSON lines."""
    return RowFile(file, lambda result: to_line(result, style.non_finite).encode() + b"\n")


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
    ".jsonl": FileFormat(read_jsonl, write_lines, _read_line_rows, _copy_rows),
    ".csv": FileFormat(read_csv, Csv, read_table_rows, Csv),
    ".pkl": FileFormat(
        read_pickles, partial(RowFile, to_bytes=_pickle_row), _read_pickle_rows, _copy_rows, needs_pipeline=True
    ),
}
"""The built-in formats, by suffix: a new one is added here, and everything else finds it."""

READERS: Final[dict[str, Reader]] = {suffix: each.read for suffix, each in FORMATS.items()}
WRITERS: Final[dict[str, WriterFactory]] = {suffix: each.write for suffix, each in FORMATS.items()}


_READ_TEXT: Final = (read_jsonl, read_csv)
_WRITE_TEXT: Final = (write_lines, Csv)


def in_encoding(readers: Mapping[str, Reader], encoding: str) -> dict[str, Reader]:
    """Return readers that take text files to be in an encoding; those of plugins stay as they are."""
    return {name: partial(each, encoding=encoding) if each in _READ_TEXT else each for name, each in readers.items()}


def in_style(writers: Mapping[str, WriterFactory], style: WriteStyle) -> dict[str, WriterFactory]:
    """Return writers that write text as users have chosen; those of plugins stay as they are."""
    return {name: partial(each, style=style) if each in _WRITE_TEXT else each for name, each in writers.items()}


def list_suffixes(conjunction: str) -> str:
    """Return the suffixes of the built-in formats as a sentence lists them, e.g. ".jsonl, .csv or .pkl"."""
    *some, last = FORMATS
    return f"{', '.join(some)} {conjunction} {last}"
