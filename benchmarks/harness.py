"""Plays contenders against each other in turns, and makes rows of ratios of what they reach.

A contender is a job: a fresh process that returns a figure for each workload. Rounds of all contenders take turns, so
that the noise of the machine hits all of them; the ratio of a pair is taken round by round.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from benchmarks.goals import Goal, find_goal
from benchmarks.jobs import Job, JobError, run_job


@dataclass(frozen=True)
class Setting:
    """How much is measured.

    Attributes:
        quick: the most telling workloads only.
        seconds: about how long one figure is measured.
        rounds: how often; of frameworks that take seconds to start, and of jobs of many ranks, `slow_rounds` times.
        scale: what sizes of inputs are multiplied by.
        peers: "all", or "standard" for those of the standard library alone.
        open_mpi: the Python of an environment with Open MPI, if there is one.
    """

    quick: bool
    seconds: float
    rounds: int
    slow_rounds: int
    scale: float = 1.0
    peers: str = "all"
    open_mpi: str | None = None


@dataclass(frozen=True)
class Row:
    """One line of the table: how many times as good papympi is, and whether that is enough.

    Attributes:
        ratio: median over the rounds; above 1 papympi is better, whatever the unit.
        low: the worst round.
        high: the best round.
        note: why nothing was measured.
    """

    group: str
    workload: str
    unit: str
    ours: str
    peer: str
    our_figure: float | None = None
    peer_figure: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    rounds: int = 0
    goal: Goal | None = None
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether it is as good as wanted; None if nothing is wanted, or nothing was measured."""
        return None if self.goal is None or self.ratio is None else self.ratio >= self.goal.wanted


@dataclass
class Figures:
    """What contenders have reached: for each of them its figures of each workload, or why there are none."""

    reached: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, contender: str, figures: Mapping[str, float]) -> None:
        """Keep the figures of one round."""
        for workload, figure in figures.items():
            self.reached.setdefault(contender, {}).setdefault(workload, []).append(figure)

    def series(self, contender: str, workload: str) -> list[float]:
        """Return the figures of all rounds."""
        return self.reached.get(contender, {}).get(workload, [])

    def why_not(self, contender: str) -> str:
        """Return why a contender has no figure."""
        return self.failed.get(contender, "it has no such workload")


def play(contenders: Mapping[str, Job], rounds: Mapping[str, int] | int) -> Figures:
    """Let contenders take turns; one that fails is out.

    Args:
        contenders: the job of each.
        rounds: how many turns each gets.
    """
    figures = Figures()
    turns = {name: rounds if isinstance(rounds, int) else rounds[name] for name in contenders}
    for turn in range(max(turns.values(), default=0)):
        for name, job in contenders.items():
            if turn >= turns[name] or name in figures.failed:
                continue
            begun = time.monotonic()
            try:
                figures.add(name, run_job(job))
            except JobError as error:
                figures.failed[name] = str(error)
            say(f"  {name}: {time.monotonic() - begun:.1f} s {figures.failed.get(name, '')}")
    return figures


def compare(
    figures: Figures, group: str, workload: str, unit: str, pair: tuple[str, str], *, lower: bool = False
) -> Row:
    """Return the row of a pair of contenders, papympi first, of one workload.

    Args:
        figures: what was reached.
        group: of the row.
        workload: of both.
        unit: of the figures.
        pair: papympi's contender and the other one.
        lower: a lower figure is the better one.
    """
    ours, theirs = (figures.series(name, workload) for name in pair)
    why = next((figures.why_not(name) for name, found in zip(pair, (ours, theirs), strict=True) if not found), "")
    return make_row((group, workload, unit, *pair), ours, theirs, why=why, lower=lower)


def make_row(
    labels: tuple[str, str, str, str, str],
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    why: str = "",
    lower: bool = False,
) -> Row:
    """Return a row from the figures of the rounds.

    Args:
        labels: group, workload, unit, papympi's contender, the other one.
        ours: papympi's figures.
        theirs: those of the other one.
        why: why there are none.
        lower: a lower figure is the better one.
    """
    group, workload, _, name, peer = labels
    goal = find_goal(group, workload, name, peer)
    middle = [statistics.median(found) if found else None for found in (ours, theirs)]
    if not ours or not theirs:
        return Row(*labels, *middle, goal=goal, note=f"not run: {why}")
    ratios = sorted((b / a if lower else a / b) for a, b in zip(ours, theirs, strict=False))
    return Row(*labels, *middle, statistics.median(ratios), ratios[0], ratios[-1], len(ratios), goal)


def rate(
    prepare: Callable[[int], AbstractContextManager[Callable[[], object]]], seconds: float, *, least: int, most: int
) -> float:
    """Return how many items a second are done, measured for about so many seconds.

    Args:
        prepare: gets a number of items, makes everything ready, yields what the clock runs for, and tidies up.
        seconds: how long.
        least: with how many items to begin.
        most: how many items at most.
    """
    count = least
    while True:
        with prepare(count) as work:
            begun = time.perf_counter()
            work()
            taken = time.perf_counter() - begun
        if taken >= seconds / 2 or count >= most:
            return count / taken
        count = min(most, max(2 * count, int(count * min(20.0, seconds / max(taken, 1e-9)))))


def check(found: Iterable[object], expected: Sequence[object]) -> None:
    """Say if results are wrong: then nothing was measured.

    Raises:
        ValueError: they are.
    """
    results = list(found)
    if results != list(expected):
        number = next((i for i, (a, b) in enumerate(zip(results, expected, strict=False)) if a != b), -1)
        raise ValueError(f"wrong results: {len(results)} of {len(expected)}, the first wrong one is number {number}")


def say(text: str) -> None:
    """Tell people how far it is."""
    sys.stderr.write(text.rstrip() + "\n")
    sys.stderr.flush()
