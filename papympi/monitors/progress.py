"""The progress display of a run: a live table on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TextIO

from papympi.contracts import Statistics
from papympi.monitors import report
from papympi.plan.plan import Plan

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

FIRST_S = 1.0
"""A run that is over within so many seconds shows nothing."""

REFRESH_S = 0.2
"""A live table is drawn anew so often."""

LONGEST_S = 60.0
"""Lines come in intervals that grow up to this one."""


class ProgressDisplay:
    """Watches a run from a thread of its own while its block lasts, and never writes after the block's end.

    On a terminal it is a table below the output that vanishes at the end, and lines meant for the terminal must go
    through `put`; elsewhere it is lines in growing intervals.

    Args:
        statistics: says how far the run is; called from the watching thread.
        stream: where to write; standard error by default.
        row_nodes: nodes that are called once for each row of the inputs, for the time left.
    """

    def __init__(
        self, statistics: Callable[[], Statistics], stream: TextIO | None = None, row_nodes: Sequence[str] = ()
    ) -> None:
        self._statistics = statistics
        self._stream = sys.stderr if stream is None else stream
        self._row_nodes = row_nodes
        self._over = threading.Event()
        self._lines: deque[str] = deque()
        self._thread = threading.Thread(target=self._watch, name="papympi-progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        self._flush(self._stream.write)

    def put(self, line: str) -> None:
        """Write a line above the table, soon; lines keep their order."""
        self._lines.append(line)

    def _flush(self, write: Callable[[str], Any]) -> None:
        """Write the lines that have been put."""
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if lines:
            write("".join(f"{line}\n" for line in lines))

    def _watch(self) -> None:
        """Wait a moment, then show how far the run is, until it is over."""
        live = self._stream.isatty()
        waited = 0.0
        while waited < FIRST_S:
            if self._over.wait(REFRESH_S):
                return
            waited += REFRESH_S
            self._flush(self._stream.write)
            self._stream.flush()
        if live:
            self._watch_live()
        else:
            self._watch_lines()

    def _watch_lines(self) -> None:
        """Write a line now and then."""
        interval = FIRST_S
        while True:
            statistics = self._statistics()
            share = report.measure_share(statistics, self._row_nodes)
            self.put(report.format_progress(statistics, share))
            self._flush(self._stream.write)
            self._stream.flush()
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
        live.update(_make_table(self._statistics(), self._row_nodes), refresh=True)


def list_row_nodes(plan: Plan) -> list[str]:
    """Return the nodes that are called once for each row of the inputs, in the order of the plan."""
    steps = [step for step in plan.steps if step.kind in ("map", "scatter") and step.space.kind == "source"]
    stages = plan.program.stages
    return [node for step in steps for node in step.nodes if stages[step.number].find_inside(node) is None]


def _make_table(statistics: Statistics, row_nodes: Sequence[str]) -> Group:
    """Return the live table: one row a node, the whole run below it."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("node")
    for title in ("done", "failed", "rate"):
        table.add_column(title, justify="right")
    for name, count in statistics.nodes.items():
        failed = Text(report.format_count(count.failed), style="red") if count.failed else Text()
        rate = report.format_rate(count.done, statistics.seconds)
        table.add_row(Text(name), Text(report.format_count(count.done)), failed, Text(rate))
    share = report.measure_share(statistics, row_nodes)
    return Group(table, Text(report.format_overall(statistics, share)))
