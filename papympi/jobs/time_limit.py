"""The time limit of a job: near its end nothing is started that usually takes longer than the time that is left."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self

from papympi.contracts import Statistics
from papympi.launchers.slurm_fields import seconds_of
from papympi.launchers.slurm_state import ask_squeue, find_job
from papympi.plan.plan import Plan

LOOK_S: Final = 0.5
"""How often the time that is left is compared, in seconds."""
_PLACES: Final = 2
"""A batch may wait behind another one on its worker."""


class TimeLimit:
    """While its block lasts, a run is stopped as soon as a batch usually takes longer than the time that is left.

    Args:
        plan: what is run.
        look: says how far it is, from any thread.
        stop: lets it start nothing more; likewise.
        seconds: the time that is left when the block begins; `None`: no end is known.
        tell: called with why it was stopped.
    """

    def __init__(
        self,
        plan: Plan,
        look: Callable[[], Statistics],
        stop: Callable[[], None],
        seconds: float | None,
        tell: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._look = look
        self._stop = stop
        self._tell = tell
        self._end = None if seconds is None else time.monotonic() + seconds
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._end is not None:
            self._thread = threading.Thread(
                target=self._watch, args=(self._end,), name="papympi-time-limit", daemon=True
            )
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self, end: float) -> None:
        while not self._over.wait(LOOK_S):
            left, usual = end - time.monotonic(), measure_usual(self._plan, self._look())
            if left < usual + LOOK_S:
                self._tell(
                    f"{max(left, 0):.0f} s are left and a batch takes up to {usual:.1f} s: nothing more is started"
                )
                self._stop()
                return


def measure_usual(plan: Plan, statistics: Statistics) -> float:
    """Return how long a batch of the slowest stage and one that waits before it take on average, in seconds."""
    longest = 0.0
    for step in plan.steps:
        counts = [statistics.nodes[node] for node in step.nodes if node in statistics.nodes]
        done = max((count.done for count in counts), default=0)
        if step.pool is not None and done:
            items = step.stride if isinstance(step.stride, int) else 1
            longest = max(longest, sum(count.seconds for count in counts) / done * min(items, done))
    return _PLACES * longest


def find_time_left(environ: Mapping[str, str] = os.environ) -> float | None:
    """Return how many seconds the job of this process has left, as Slurm says; `None`: it is in none, or has no end."""
    job = find_job(environ)
    done = None if job is None else ask_squeue(job[0], "%L")
    return None if done is None or done.returncode else seconds_of(done.stdout.strip()) or None
