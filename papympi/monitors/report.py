"""What is said about a run in words: its summary, how far it is, failures in groups, tables. It prints nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from papympi.contracts import Statistics
from papympi.model.failures import MESSAGE, FailureGroup
from papympi.model.telling import clean, tell, tell_kind
from papympi.model.tracebacks import shorten_traceback
from papympi.workers.host import format_memory

CELL = 60
"""Longer cells of a table are cut off."""

GROUPS = 10
"""At most so many groups of failures are shown."""

TRACEBACK = 12
"""Of the traceback of a group's example the last so many lines are shown, and the first ones."""


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run went so far; `str()` of it is the text that the command line prints.

    Attributes:
        statistics: the counts of each node, and the totals; `delivered` counts values, not failures in their places.
        groups: the failures, equal ones together, the largest group first.
        notes: what else there is to say.
    """

    statistics: Statistics
    groups: tuple[FailureGroup, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        """How many calls failed, of all nodes."""
        return sum(count.failed for count in self.statistics.nodes.values())

    @property
    def dropped(self) -> int:
        """How many items were dropped, by all nodes."""
        return sum(count.dropped for count in self.statistics.nodes.values())

    def __str__(self) -> str:
        statistics = self.statistics
        rows = [
            {
                "node": name,
                "done": format_count(count.done),
                "failed": format_count(count.failed) if count.failed else "",
                "dropped": format_count(count.dropped) if count.dropped else "",
                "time": format_seconds(count.seconds),
                "rate": format_rate(count.done, statistics.seconds),
            }
            for name, count in statistics.nodes.items()
        ]
        parts = [format_table(rows, rows_limit=len(rows))] if rows else []
        parts.append(self._format_totals())
        parts += [format_most(statistics.highest, statistics.heaviest)] if statistics.highest else []
        parts.extend(format_groups(self.groups))
        parts.extend(f"\nnote: {note}" for note in self.notes)
        text = "\n".join(parts)
        return clean(text, len(text))

    def _format_totals(self) -> str:
        """Return how many results in what time."""
        delivered, seconds = self.statistics.delivered, self.statistics.seconds
        line = f"{format_count(delivered)} {'result' if delivered == 1 else 'results'} in {format_seconds(seconds)}"
        rate = format_rate(delivered, seconds)
        line += f", {rate}" if rate else ""
        line += f", {format_count(self.failed)} failed" if self.failed else ""
        return line + (f", {format_count(self.dropped)} dropped" if self.dropped else "")


def format_most(items: int, size: int) -> str:
    """Return the line that says how many items, of about how many bytes, were in the graph at the most."""
    line = f"at the most {format_count(items)} {'item' if items == 1 else 'items'} in the graph at once"
    return f"{line}, about {format_memory(size)}" if size else line


def format_groups(groups: Sequence[FailureGroup]) -> list[str]:
    """Return a paragraph for each group of failures."""
    parts = [_format_group(group) for group in groups[:GROUPS]]
    if len(groups) > GROUPS:
        rest = sum(group.count for group in groups[GROUPS:])
        parts.append(f"\nand {format_count(rest)} more of {len(groups) - GROUPS} other kinds")
    return parts


def _format_group(group: FailureGroup) -> str:
    """Return the paragraph of one group, with its first member as the example."""
    example, several = group.first, group.count > 1
    times = f"{format_count(group.count)} times " if several else ""
    others = " and others" if group.mixed else ""
    head = f"\n{times}{tell_kind(example.error)}{others} in {example.node}"
    if message := tell(example.error, MESSAGE):
        head += f", such as: {message}" if group.varies else f": {message}"
    where = f", on {example.worker}" if example.worker else ""
    lines = [head, f"  {'first at' if several else 'at'} item {example.key}{where}"]
    if example.input:
        lines.append(f"  input: {example.input}")
    if example.attempts > 1:
        lines.append(f"  attempts: {example.attempts}")
    lines.extend(f"    {clean(line, MESSAGE)}" for line in shorten_traceback(example.traceback, TRACEBACK))
    return "\n".join(lines)


def format_progress(statistics: Statistics, before: Statistics) -> str:
    """Return one line that says how far a run is; how fast it is, is measured since some moment before."""
    parts = [format_overall(statistics, before)]
    for name, count in statistics.nodes.items():
        failed = f" ({format_count(count.failed)} failed)" if count.failed else ""
        parts.append(f"{name} {format_count(count.done)}{failed}")
    return " | ".join(parts)


def format_overall(statistics: Statistics, before: Statistics) -> str:
    """Return how far the whole run is: results, rate, and the time left where the length is known."""
    results = f"{format_count(statistics.delivered)} {'result' if statistics.delivered == 1 else 'results'}"
    line, seconds = f"{format_seconds(statistics.seconds)}: {results}", statistics.seconds - before.seconds
    if rate := format_rate(statistics.delivered - before.delivered, seconds):
        line += f", {rate}"
    return line + format_rest(statistics.through, before.through, statistics.length, seconds)


def format_rest(through: int, before: int, length: int | None, seconds: float) -> str:
    """Return which part of its rows a run has behind it, and the time left at the pace of some seconds; "": unknown.

    Args:
        through: how many rows it has behind it.
        before: how many it had so many seconds ago.
        length: how many there are; `None`: nobody knows.
        seconds: since then.
    """
    if not length:
        return ""
    share = f", {min(1.0, through / length):.0%}"
    if not before < through < length:
        return share
    return f"{share}, {format_seconds((length - through) * seconds / (through - before))} left"


def format_count(number: int) -> str:
    """Return a number with its digits in groups of three."""
    return f"{number:,}".replace(",", " ")


def format_seconds(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02} h"


def format_rate(number: int, seconds: float) -> str:
    """Return a number per second, "" if it is not known."""
    if not number or not seconds:
        return ""
    rate = number / seconds
    if rate >= 10:
        return f"{format_count(round(rate))}/s"
    return f"{rate:.2g}/s" if rate >= 0.1 else f"{rate * 60:.2g}/min"


def format_table(records: Sequence[Mapping[str, Any]], rows_limit: int = 40) -> str:
    """Return records as a plain table; numbers stand right, and what is too long is cut off."""
    shown = records[:rows_limit]
    keys = list(dict.fromkeys(key for record in shown for key in record))
    names = [_format_cell(key) for key in keys]
    rows = [[_format_cell(record.get(key)) for key in keys] for record in shown]
    widths = [max(len(row[place]) for row in [names, *rows]) for place in range(len(names))]
    right = [_is_numeric([row[place] for row in rows]) for place in range(len(names))]
    lines = []
    for row in [names, ["-" * width for width in widths], *rows]:
        cells = zip(row, widths, right, strict=True)
        lines.append("  ".join(cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in cells))
    if len(records) > rows_limit:
        lines.append(f"and {format_count(len(records) - rows_limit)} more")
    return "\n".join(line.rstrip() for line in lines)


def _format_cell(value: Any) -> str:
    """Return a value as the text of one cell."""
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else tell(value)
    text = " ".join(text.split())
    return text if len(text) <= CELL else f"{text[: CELL - 1]}…"


def _is_numeric(cells: Sequence[str]) -> bool:
    """Return whether all cells that are not empty begin with a digit or a sign."""
    return all(not cell or cell[0].isdigit() or (cell[0] == "-" and cell[1:2].isdigit()) for cell in cells)
