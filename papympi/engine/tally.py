"""What a run counts, by node: items done, failed, dropped and tried again, and the seconds that workers spent."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from papympi.contracts import History, NodeCount
from papympi.model.failures import FailureLog
from papympi.model.item import Failure
from papympi.plan.plan import Plan
from papympi.plan.program import Call
from papympi.transport.task import Outcome


class Stopwatch:
    """How long a run takes."""

    def __init__(self) -> None:
        self._begun: float | None = None
        self._ended: float | None = None

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._begun is None:
            self._begun = time.perf_counter()

    def stop(self) -> None:
        """Stand still from now on."""
        self._ended = time.perf_counter()

    def read(self) -> float:
        """Return the seconds so far; from any thread."""
        ended = self._ended
        return 0.0 if self._begun is None else (time.perf_counter() if ended is None else ended) - self._begun


@dataclass(slots=True)
class Tally:
    """What has been counted so far, by node name.

    Attributes:
        log: takes every failure.
        history: knows failures of an earlier attempt, which may come home again.
    """

    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    retried: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    log: FailureLog = field(default_factory=FailureLog)
    history: History | None = None

    def restore(self, history: History, plan: Plan) -> None:
        """Count the failures of an earlier attempt that are of nodes of this plan."""
        nodes = {call.node for stage in plan.program.stages.values() for call in stage.calls}
        for failure in history.failures:
            if failure.node in nodes:
                self.fail([failure])
        self.history = history if self.log.count else None

    def fail(self, failures: Sequence[Failure]) -> None:
        """Count failures; each is counted where it was born, once, however many copies of it travel on.

        Call it before a store has them: what the history knows then is of earlier attempts.
        """
        if self.history is not None:
            failures = [each for each in failures if not self.history.has_failed(each.node, each.key)]
        for failure in failures:
            self.failed[failure.node] += 1
        self.log.add(failures)

    def count(self, calls: Sequence[Call], outcome: Outcome) -> None:
        """Count what a task has done; its failures are counted apart.

        What nobody has measured, such as the opening of what came, is the last call's.
        """
        for call, done, drops in zip(calls, outcome.calls, outcome.drops, strict=True):
            if call.counts != "nothing":
                self.done[call.node] += done
            if drops:
                self.dropped[call.node] += drops
        rest = outcome.seconds
        for call, seconds in zip(calls, outcome.spent, strict=False):
            self.seconds[call.node] += seconds
            rest -= seconds
        self.seconds[calls[-1].node] += max(0.0, rest)

    def to_counts(self, nodes: Sequence[str]) -> dict[str, NodeCount]:
        """Return the counts of some nodes."""
        return {
            node: NodeCount(
                self.done[node], self.failed[node], self.dropped[node], self.seconds[node], self.retried[node]
            )
            for node in nodes
        }  # fmt: skip
