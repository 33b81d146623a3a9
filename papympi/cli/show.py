"""How results are shown: rows of a file, lines or tables on standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TextIO

from papympi.cli.words import naming_output
from papympi.contracts import Writer
from papympi.formats.file_formats import to_line
from papympi.formats.json_values import NonFinite, dump, to_plain, to_record
from papympi.model.item import Result
from papympi.model.telling import clean, tell_repr
from papympi.monitors.report import format_table

Style = Literal["values", "rows", "tables"]
"""values: each value as a line of JSON; rows: JSON lines with node and key; tables: only what is a table."""


class Show:
    """Takes the results of a run, one after the other.

    A list of records (dicts, dataclass objects, named tuples) that is the one value of a whole stream is shown as a
    table, unless standard output is for JSON lines.

    Attributes:
        count: how many results it has taken.
        stream: where it writes what is shown.
        put: writes one line there.

    Args:
        style: what to show.
        writer: of the output file, if there is one.
        non_finite: how JSON says NaN and infinities.
    """

    def __init__(
        self, style: Style, stream: TextIO, writer: Writer | None = None, non_finite: NonFinite = "null"
    ) -> None:
        self.count = 0
        self.stream = stream
        self.put: Callable[[str], None] = partial(put_line, stream)
        self._style = style
        self._writer = writer
        self._non_finite = non_finite

    def take(self, result: Result) -> None:
        """Show and write one result."""
        self.count += 1
        if self._writer is not None:
            self._writer.write(result)
        if self._style == "rows":
            self.put(to_line(result, self._non_finite))
        elif not result.key and (table := to_table(result.value)):
            self.put(table)
        elif self._style == "values":
            self.put(to_json(result.value, self._non_finite))


def to_table(value: Any) -> str:
    """Return a list of records as a table; "" for anything else."""
    items = value if isinstance(value, list | tuple) else ()
    records = [record for item in items if (record := to_record(item)) is not None]
    return format_table(records) if records and len(records) == len(items) else ""


def to_json(value: Any, non_finite: NonFinite = "null") -> str:
    """Return a value as JSON, or its `repr` where JSON cannot say it."""
    plain, exact = to_plain(value)
    if exact:
        return dump(plain, non_finite)
    return clean(plain, len(plain)) if isinstance(plain, str) else tell_repr(value, sys.maxsize)


def put_line(stream: TextIO, line: str) -> None:
    """Write a line at once."""
    with naming_output():
        stream.write(f"{line}\n")
        stream.flush()
