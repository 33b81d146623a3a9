"""Tables as CSV: rows of results out, and in again to be merged."""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from papympi.formats.json_values import NonFinite, dump, plain_key, to_plain, to_record
from papympi.formats.text_files import read_cells
from papympi.model.item import Result


@dataclass(frozen=True, slots=True)
class WriteStyle:
    """What users may choose of how text files are written.

    Attributes:
        non_finite: how JSON says NaN and infinities.
        spreadsheet: text that a spreadsheet would take for a formula, and run, gets a `'` before it.
    """

    non_finite: NonFinite = "null"
    spreadsheet: bool = False


PLAIN_STYLE: Final = WriteStyle()

_RUN: Final = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula for a spreadsheet."""


class Csv:
    """A table: node, key, and a column for each field of the values (dicts, records, tuples), else `value`.

    A value with a field that no earlier one had gets its column, too: the head is written anew at the end.
    """

    def __init__(self, file: IO[bytes], style: WriteStyle = PLAIN_STYLE) -> None:
        self._file = file
        self._style = style
        self._columns: dict[str, None] = {}
        self._head = 0

    def write(self, result: Result) -> None:
        """Write one result as one row."""
        fields = _to_fields(result.value)
        self._columns.update(dict.fromkeys(fields))
        if not self._head:
            self._head = len(self._columns)
            self._write_row(self._make_head())
        cells = [self._to_cell(fields.get(column)) for column in self._columns]
        self._write_row([result.node, json.dumps(list(result.key)), *cells])

    def close(self) -> None:
        """Write the head if no row did, or anew if rows brought columns that it lacks."""
        if not self._head:
            self._write_row(["node", "key", "value"])
        elif self._head < len(self._columns):
            self._rewrite()

    def _rewrite(self) -> None:
        """Write it anew with a whole head if there is room for that; else it stays as it is."""
        if not self._file.seekable():
            return
        self._file.seek(0)
        text = io.TextIOWrapper(self._file, encoding="utf-8", newline="")
        rows = read_cells(text)
        next(rows)
        with tempfile.TemporaryFile() as copy:
            copy.write(_to_bytes(self._make_head()))
            for row in rows:
                copy.write(_to_bytes(row + [""] * (2 + len(self._columns) - len(row))))
            text.detach()
            _reserve(self._file, copy.tell())
            copy.seek(0)
            self._file.seek(0)
            shutil.copyfileobj(copy, self._file)

    def _make_head(self) -> list[str]:
        return ["node", "key", *map(self._guard, self._columns)]

    def _write_row(self, cells: list[str]) -> None:
        self._file.write(_to_bytes(cells))

    def _to_cell(self, value: Any) -> str:
        """Return a value as the text of one cell: strings as they are, nothing for `None`, "nan", JSON for the rest."""
        plain, _ = to_plain(value)
        if plain is None:
            return ""
        if isinstance(plain, str):
            return self._guard(plain)
        if isinstance(plain, float) and not math.isfinite(plain):
            return str(plain)
        return dump(plain, self._style.non_finite)

    def _guard(self, text: str) -> str:
        """Return a text so that a spreadsheet takes it for one, if that was asked for."""
        return f"'{text}" if self._style.spreadsheet and text.startswith(_RUN) else text


def _to_bytes(cells: list[str]) -> bytes:
    """Return a row as UTF-8; what that cannot say, such as file names in another encoding, becomes an escape."""
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)  # whose end of a row is \r\n, so that it quotes cells with either
    return (line.getvalue().removesuffix("\r\n") + "\n").encode(errors="backslashreplace")


def _reserve(file: IO[bytes], size: int) -> None:
    """Make a file at least as long, where one can, so that there is room for what will be written."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise


def read_table_rows(path: Path) -> Iterator[Result]:
    """Yield the rows of a table as results with the cells that are not empty."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = read_cells(file)
        head = next(rows, [])
        for node, key, *cells in rows:
            fields = {name: cell for name, cell in zip(head[2:], cells, strict=False) if cell}
            yield Result(node, tuple(json.loads(key)), fields)


def _to_fields(value: Any) -> dict[str, Any]:
    """Return the columns of a value in a table."""
    fields = to_record(value)
    if fields is not None:
        return {plain_key(key): item for key, item in fields.items()}
    if isinstance(value, tuple):
        return {f"value_{number}": item for number, item in enumerate(value)}
    return {"value": value}
