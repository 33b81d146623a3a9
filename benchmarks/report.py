"""The table of all rows, for people and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from benchmarks.goals import GOALS
from benchmarks.harness import Row

HEADS = ("workload", "papympi", "beside", "unit", "papympi", "beside", "ratio", "spread", "wanted", "reached")
LONGEST_NOTE = 90
RATIO = HEADS.index("ratio")


def show_figure(figure: float | None) -> str:
    """Return a figure as people read it."""
    if figure is None:
        return "-"
    if figure >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.2f}" if figure >= 0.1 else f"{figure:.4f}"


def show_row(row: Row) -> list[str]:
    """Return the cells of a row."""
    figures = [show_figure(row.our_figure), show_figure(row.peer_figure)]
    ratio = f"{row.ratio:.2f}" if row.ratio is not None else row.note[:LONGEST_NOTE]
    spread = f"{row.low:.2f}-{row.high:.2f}" if row.ratio is not None else ""
    wanted = f"{row.goal.wanted:.2f}" if row.goal else ""
    reached = {True: "yes", False: "NO", None: "" if row.goal is None else "?"}[row.reached]
    return [row.workload, row.ours, row.peer, row.unit, *figures, ratio, spread, wanted, reached]


def show_table(rows: Sequence[Row]) -> str:
    """Return the table: the rows of a group stay together under its name."""
    cells = [show_row(row) for row in rows]
    sized = [HEADS, *(line for line in cells if not line[RATIO].startswith("not run"))]
    widths = [max(len(line[column]) for line in sized) for column in range(len(HEADS))]
    lines = [align(HEADS, widths)]
    for group, pairs in groupby(zip(rows, cells, strict=True), key=lambda pair: pair[0].group):
        lines += ["", group, *(align(line, widths) for _, line in pairs)]
    return "\n".join(lines) + "\n"


def align(cells: Iterable[str], widths: Sequence[int]) -> str:
    """Return a line of the table: words to the left, figures to the right."""
    aligned = [
        cell.ljust(width) if number < 4 or cell.startswith("not run") else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(aligned).rstrip()


def list_unmeasured(rows: Iterable[Row]) -> list[str]:
    """Return what is wanted and has no row with a figure."""
    shown = {row.goal for row in rows if row.ratio is not None}
    return [
        f"{goal.group}: {goal.workload}: {goal.ours} beside {goal.peer}: at least {goal.wanted:.2f}"
        for goal in GOALS
        if goal not in shown
    ]


def describe_machine() -> dict[str, str | int]:
    """Return what the figures were measured on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def write_json(path: Path, rows: Sequence[Row], seconds: float) -> None:
    """Write the machine, the rows, and what was not measured."""
    found = {
        "machine": describe_machine(),
        "seconds": round(seconds, 1),
        "rows": [asdict(row) | {"reached": row.reached} for row in rows],
        "unmeasured": list_unmeasured(rows),
    }
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
