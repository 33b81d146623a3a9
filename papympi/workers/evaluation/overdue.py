"""Whether the item that a worker is at has had its time, read from its progress cell."""

from __future__ import annotations

from papympi.plan.program import Program
from papympi.workers.evaluation.progress import Progress


def find_timeout(program: Program, stage: int | None, progress: Progress) -> tuple[float, int]:
    """Return the time-out of what a worker is at, in seconds, and since when it is, by `time.monotonic_ns`.

    Args:
        program: what the worker evaluates.
        stage: number of the stage of the task that it is at; `None`: it is at none.
        progress: what its cell says.

    Returns:
        (0.0, 0) if it is at nothing that has a time-out.
    """
    if stage is None or progress.node is None or progress.begun_ns is None:
        return 0.0, 0
    return (program.stages[stage].calls[progress.node].timeout or 0.0) * progress.items, progress.begun_ns


def find_shortest_timeout(program: Program) -> float:
    """Return the shortest time-out of all nodes, in seconds; 0: none has one."""
    calls = (call for stage in program.stages.values() for call in stage.calls)
    return min((call.timeout for call in calls if call.timeout), default=0.0)
