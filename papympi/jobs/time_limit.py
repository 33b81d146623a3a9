"""The time limit of a job: near its end nothing is started that usually takes longer than the time that is left."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from papympi.contracts import Statistics
from papympi.launchers.slurm_fields import seconds_of
from papympi.launchers.slurm_state import ask_squeue, find_job
from papympi.plan.plan import Plan

LOOK_S: Final = 0.5
"""How often the time that is left is compared, in seconds."""
_PLACES: Final = 2
"""A batch may wait behind another one on its worker."""


@contextmanager
def keep_to_limit(
    plan: Plan,
    look: Callable[[], Statistics],
    stop: Callable[[], None],
    seconds: float | None,
    tell: Callable[[str], None],
) -> Iterator[None]:
    """Stop a run as soon as a batch usually takes longer than the time that is left, while the block lasts.

    Args:
        plan: what is run.
        look: says how far it is, from any thread.
        stop: lets it start nothing more; likewise.
        seconds: the time that is left when the block begins; `None`: no end is known.
        tell: called with why it was stopped.
    """
    if seconds is None:
        yield
        return
    end, over = time.monotonic() + seconds, threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_S):
            left, usual = end - time.monotonic(), measure_usual(plan, look())
            if left < usual + LOOK_S:
                tell(f"{max(left, 0):.0f} s are left and a batch takes up to {usual:.1f} s: nothing more is started")
                stop()
                return

    thread = threading.Thread(target=watch, name="papympi-time-limit", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


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
