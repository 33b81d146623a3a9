"""The progress display of a run: a live table on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

from papympi.contracts import Statistics
from papympi.model.telling import as_far_as_room
from papympi.monitors import report

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

FIRST_S = 1.0
"""A run that is over within so many seconds shows nothing."""

REFRESH_S = 0.2
"""A live table is drawn anew so often."""

WINDOW_S = 10.0
"""Rates are those of the last so many seconds, or since the last line if that is longer ago."""

STARTING: Final = "the workers are being started"

LONGEST_S = 60.0
"""Lines come in intervals that grow up to this one."""


class ProgressDisplay:
    """Watches a run from a thread of its own while its block lasts, and never writes after the block's end.

    On a terminal it is a table below the output that vanishes at the end, and lines meant for the terminal must go
    through `put`; elsewhere it is lines in growing intervals.

    Args:
        statistics: says how far the run is; called from the watching thread.
        stream: where to write; standard error by default.
    """

    def __init__(self, statistics: Callable[[], Statistics], stream: TextIO | None = None) -> None:
        self._statistics = statistics
        self._stream = sys.stderr if stream is None else stream
        self._pace = _Pace()
        self._over = threading.Event()
        self._lines: deque[str] = deque()
        self._thread = threading.Thread(target=self._watch, name="papympi-progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        self._flush(self._write)

    def put(self, line: str) -> None:
        """Write a line above the table, soon; lines keep their order."""
        self._lines.append(line)

    def _flush(self, write: Callable[[str], Any]) -> None:
        """Write the lines that have been put."""
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if lines:
            write("".join(f"{line}\n" for line in lines))

    def _write(self, text: str) -> None:
        """Write some lines at once; where they find no room, as on a full disk, the run goes on all the same."""
        with as_far_as_room():
            self._stream.write(text)
            self._stream.flush()

    def _watch(self) -> None:
        """Wait a moment, then show how far the run is, until it is over."""
        live = self._stream.isatty()
        waited = 0.0
        while waited < FIRST_S:
            if self._over.wait(REFRESH_S):
                return
            waited += REFRESH_S
            self._flush(self._write)
        if live:
            self._watch_live()
        else:
            self._watch_lines()

    def _watch_lines(self) -> None:
        """Write a line now and then; until the run begins, one that says what is waited for."""
        interval, is_told = FIRST_S, False
        while True:
            statistics = self._statistics()
            if statistics.seconds or not is_told:
                before = self._pace.look(statistics)
                self.put(report.format_progress(statistics, before) if statistics.seconds else STARTING)
                is_told = True
            self._flush(self._write)
            if self._over.wait(interval):
                return
            interval = min(interval * 1.5, LONGEST_S)

    def _watch_live(self) -> None:
        """Draw the table until the run is over, then wipe it away."""
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream)
        with Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        ) as live:
            while True:
                self._draw(live)
                if self._over.wait(REFRESH_S):
                    return

    def _draw(self, live: Live) -> None:
        """Write the lines that have been put, and the table below them."""
        self._flush(partial(live.console.out, end="", highlight=False))
        statistics = self._statistics()
        live.update(_make_table(statistics, self._pace.look(statistics)), refresh=True)


def _make_table(statistics: Statistics, before: Statistics) -> Group:
    """Return the live table: one row a node, the whole run below it; rates are those since some moment before."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    if not statistics.seconds:
        return Group(Text(STARTING))
    table = Table(box=None, pad_edge=False)
    table.add_column("node")
    for title in ("done", "failed", "rate"):
        table.add_column(title, justify="right")
    for name, count in statistics.nodes.items():
        failed = Text(report.format_count(count.failed), style="red") if count.failed else Text()
        done = count.done - before.nodes[name].done if name in before.nodes else count.done
        rate = report.format_rate(done, statistics.seconds - before.seconds)
        table.add_row(Text(name), Text(report.format_count(count.done)), failed, Text(rate))
    return Group(table, Text(report.format_overall(statistics, before)))


class _Pace:
    """Knows how far a run was some seconds ago, so that rates are those of the last seconds."""

    def __init__(self) -> None:
        self._seen = deque([Statistics({})])

    def look(self, statistics: Statistics) -> Statistics:
        """Take in how far the run is; return how far it was before."""
        self._seen.append(statistics)
        while len(self._seen) > 2 and statistics.seconds - self._seen[1].seconds >= WINDOW_S:
            self._seen.popleft()
        return self._seen[0]
