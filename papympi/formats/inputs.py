"""Inputs from the command line: `NAME=VALUE` becomes the items of one input."""

from __future__ import annotations

import ast
import glob
import itertools
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from papympi.contracts import Reader
from papympi.errors import InputError, PapympiError
from papympi.formats.file_formats import READERS, in_encoding, list_suffixes
from papympi.formats.naming import NamedFile
from papympi.formats.text_files import read_lines, read_stdin
from papympi.model.telling import describe, from_digits

FORMS = f"""\
a..b        the integers from a up to but not including b; `a..` never ends
@FILE       the lines of a file (of {list_suffixes("and")} files the rows)
-           the lines of standard input
[1, 2, 3]   the items of a Python list
*.txt       the matching paths, sorted; ** matches folders of any depth
NAME        the path, if there is a file or folder of that name
5, "text"   any other Python literal is the one item; anything else is one string"""

EXAMPLES = "number=0..100, path='*.txt' or name=@names.txt"

WHOLE_FILE = 64 << 20
"""Files up to this size are read at once, so that their length is known; longer ones as the run goes."""

_ANY_DEPTH = re.compile(r"(?:^|(?<=/))\*\*(?:/|$)")
_RANGE = re.compile(r"(-?\d+(?:_\d+)*)\.\.(-?\d+(?:_\d+)*)?", re.ASCII)


def parse_inputs(
    settings: Sequence[str], readers: Mapping[str, Reader] | None = None, encoding: str = ""
) -> dict[str, Iterable[Any]]:
    """Return the items of each input from `NAME=VALUE` settings; a name that comes twice has both, one after the other.

    Args:
        settings: as given on the command line.
        readers: by suffix, what reads the file of `@FILE`; default: the built-in ones, and lines of every other file.
        encoding: of text files and standard input; default: that of the file's mark, else UTF-8.

    Raises:
        InputError: a setting without a name, a file that is not there, a glob that matches nothing.
    """
    parts: dict[str, list[Iterable[Any]]] = {}
    readers = in_encoding(READERS if readers is None else readers, encoding)
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"--input {setting!r} is not of the form NAME=VALUE, e.g. {EXAMPLES}")
        parts.setdefault(name, []).append(parse_value(name, value, readers, encoding))
    if sum(setting.partition("=")[2] == "-" for setting in settings) > 1:
        raise InputError("only one input can have the lines of standard input (-)")
    return {name: _join(items) for name, items in parts.items()}


def parse_value(name: str, value: str, readers: Mapping[str, Reader], encoding: str = "") -> Iterable[Any]:
    """Return the items that the VALUE of one setting stands for; `FORMS` lists them."""
    if value == "-":
        return read_stdin(encoding)
    if value.startswith("@"):
        return _read(name, Path(value[1:]).expanduser(), readers, encoding)
    if match := _RANGE.fullmatch(value):
        start, stop = match.groups()
        return range(from_digits(start), from_digits(stop)) if stop else itertools.count(from_digits(start))
    try:
        literal = _read_literal(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return _paths(name, value)
    return literal if isinstance(literal, list) else [literal]


def _read_literal(text: str) -> Any:
    """Return what a Python literal means, with integers of any length."""
    most = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return ast.literal_eval(text)
    finally:
        sys.set_int_max_str_digits(most)


def _read(name: str, path: Path, readers: Mapping[str, Reader], encoding: str) -> Iterable[Any]:
    """Return the rows of a file; a list if the file is small."""
    if not _exists(path):
        raise InputError(f"input {name!r}: no such file: {describe(str(path))}")
    if path.is_dir():
        raise InputError(f"input {name!r}: {str(path)!r} is a folder; its files are {name}='{path}/*'")
    with NamedFile(path, "read").named():
        rows = readers.get(path.suffix, partial(read_lines, encoding=encoding))(path)
    if not isinstance(rows, Sequence):
        rows = _explain(path, rows)
    return list(rows) if path.is_file() and path.stat().st_size <= WHOLE_FILE else rows


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - of a name that is too long for a path it does not raise


def _explain(path: Path, rows: Iterable[Any]) -> Iterator[Any]:
    """Yield the rows of a file; whatever reading it raises says where in it that was."""
    left, file = iter(rows), NamedFile(path, "read")
    for number in itertools.count():
        try:
            row = next(left)
        except StopIteration:
            return
        except PapympiError:
            raise
        except Exception as error:
            raise file.explain(error, f" behind row {number}") from error
        yield row


def _paths(name: str, value: str) -> list[Any]:
    """Return what a value that is no literal stands for: a path, the paths that a glob matches, or a string."""
    path = Path(value).expanduser()
    if value and _exists(path):
        return [path]
    if not glob.has_magic(value):
        return [value]
    found = sorted(set(map(Path, _match(str(path)))))
    if not found:
        raise InputError(f"input {name!r}: nothing matches {value!r}; for the text itself, write {name}='\"{value}\"'")
    return found


def _match(pattern: str) -> Iterator[str]:
    """Yield the paths that a glob matches; `**` does not follow links to folders, which may lead back."""
    head, *tails = _ANY_DEPTH.split(pattern, maxsplit=1)
    if not tails:
        yield from glob.iglob(pattern)  # noqa: PTH207 -- also absolute ones
        return
    for start in glob.glob(head) if head else [os.curdir]:  # noqa: PTH207 -- also absolute ones
        for folder, folders, files in os.walk(start):
            folders[:] = [name for name in folders if not name.startswith(".")]
            if tails[0]:
                yield from _match(str(Path(glob.escape(folder), tails[0])))
            else:
                yield folder
                yield from (str(Path(folder, name)) for name in files if not name.startswith("."))


def _join(parts: list[Iterable[Any]]) -> Iterable[Any]:
    """Return the items of several iterables one after the other; a list if all have a length."""
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, Sequence) for part in parts):
        return [item for part in parts for item in part]
    return itertools.chain.from_iterable(parts)
