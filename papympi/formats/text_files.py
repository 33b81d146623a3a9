"""Reads text: the encoding that was asked for or that the file's mark says, and the place of what is not in it."""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

from papympi.errors import InputError
from papympi.formats.json_values import load

UTF8: Final = "utf-8-sig"
"""UTF-8, with or without the mark that Excel begins its files with."""
_MARKS: Final = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""What other encodings begin a file with that say so, such as the Unicode text of Excel."""

_DELIMITERS: Final = (",", ";", "\t")
"""What stands between the names of columns: the first that is there. Excel writes `;` where numbers have a comma."""

_STRAY: Final = re.compile("[\udc80-\udcff]")
"""What stands for a byte that is not in the encoding."""


def open_text(path: Path, encoding: str = "", newline: str | None = None) -> io.TextIOWrapper:
    """Open a text file; what is not in its encoding survives as in file names.

    Args:
        path: the file.
        encoding: default: that of its mark, else UTF-8.
        newline: as for `open`.
    """
    file = path.open("rb")
    if not encoding:
        encoding = _MARKS.get(file.peek(2)[:2], "")
    return io.TextIOWrapper(file, encoding=_choose(encoding), errors="surrogateescape", newline=newline)


def _choose(encoding: str) -> str:
    """Return what Python calls an encoding; UTF-8 comes with or without its mark."""
    name = codecs.lookup(encoding or UTF8).name
    return UTF8 if name == "utf-8" else name


def read_lines(path: Path, encoding: str = "") -> Iterable[str]:
    """Yield the lines of a text file without their ends; what is not text survives, as these may be file names."""
    with open_text(path, encoding) as lines:
        yield from strip_ends(lines)


def read_stdin(encoding: str = "") -> Iterable[str]:
    """Return the lines of standard input, as those of a file."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding=_choose(encoding), errors="surrogateescape", newline=None)
    return strip_ends(sys.stdin)


def strip_ends(lines: IO[str]) -> Iterator[str]:
    """Yield lines without their ends."""
    return (line.removesuffix("\n") for line in lines)


def read_jsonl(path: Path, encoding: str = "") -> Iterable[Any]:
    """Yield the value of each line of a JSON lines file."""
    with open_text(path, encoding) as lines:
        for number, line in enumerate(_check_lines(path, lines), 1):
            if line.strip():
                try:
                    yield load(line)
                except ValueError as error:
                    raise InputError(f"{path}, line {number}: not JSON: {error}") from error


def read_csv(path: Path, encoding: str = "") -> Iterable[dict[str, str]]:
    """Return each row of a CSV file as a dict by the names in its first row; its cells may be of any length.

    Cells are separated by commas, or, if there is none in the first row, by semicolons or tabs.
    """
    _lift_limit()
    return _read_csv(path, encoding)


def _read_csv(path: Path, encoding: str) -> Iterator[dict[str, str]]:
    with open_text(path, encoding, newline="") as lines:
        rows = _check_lines(path, lines)
        head = next(rows, "")
        delimiter = next((mark for mark in _DELIMITERS if mark in head), ",")
        yield from csv.DictReader(chain([head], rows), delimiter=delimiter)


def read_cells(lines: Iterable[str]) -> Iterator[list[str]]:
    """Return the rows of a CSV text as lists of cells of any length."""
    _lift_limit()
    return csv.reader(lines)


def _lift_limit() -> None:
    """Let cells be of any length, in this process and its workers, where settings are the same."""
    csv.field_size_limit(sys.maxsize)


def _check_lines(path: Path, lines: io.TextIOWrapper) -> Iterator[str]:
    """Yield lines; a byte that is not in the encoding is refused with its place."""
    for number, line in enumerate(lines, 1):
        if not line.isascii() and (stray := _STRAY.search(line)):
            name = lines.encoding.removesuffix("-sig").upper()
            column = len(line[: stray.start()].encode(lines.encoding.removesuffix("-sig"), "surrogateescape")) + 1
            raise InputError(
                f"{path}, line {number}: byte {column} (0x{ord(stray[0]) & 0xFF:x}) is not {name}; say how it is "
                "written, e.g. --encoding cp1252 (Windows, Excel) or latin-1"
            )
        yield line
