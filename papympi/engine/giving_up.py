"""Ends a run that is of no use: too much of it fails, or no worker can make a resource without which all fails."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from papympi.contracts import NodeCount, Pool
from papympi.engine.operators.protocol import InFlightTask
from papympi.engine.tally import Tally
from papympi.errors import FailuresError, PapympiError, ResourceError
from papympi.model.failure_limit import FailureLimit
from papympi.model.item import Failure
from papympi.model.telling import tell_error
from papympi.plan.plan import Plan
from papympi.transport.task import Outcome

_LEAST: Final = 10
"""A share of failures means nothing before so many calls of a node have failed."""
_FIRST: Final = 3
"""So many failures are named."""
_BRIEF: Final = 120
"""So many characters of what each of them says."""
_PATIENCE: Final = 16
_MOST: Final = 256
"""So many batches more than a pool has workers, of at most so many, may come home while none other has tried."""

Place = tuple[str, str]
"""A pool and a resource."""


class GivingUp:
    """Looks at what comes home, and says when it is enough.

    Args:
        plan: what runs.
        pools: by name.
        tally: what has been counted; failures of an earlier attempt do not end this one.
        limit: how many failures are let pass; `None`: any number.

    Attributes:
        error: why the run is to end; `None`: it may go on.
    """

    def __init__(self, plan: Plan, pools: Mapping[str, Pool], tally: Tally, limit: FailureLimit | None) -> None:
        self.error: PapympiError | None = None
        self._limit = limit
        self._tally = tally
        self._nodes = [node for step in plan.steps if step.pool is not None for node in step.nodes]
        self._known = Counter(tally.failed)
        self._seen = 0
        self._first: list[str] = []
        self._resources = _BrokenResources(plan, pools)

    def look(self, task: InFlightTask, outcome: Outcome) -> bool:
        """Take in the outcome of a task, which has been counted; return whether the run is to end now."""
        if self.error is None:
            self.error = self._resources.look(task, outcome)
        if self.error is None and self._limit is not None:
            self.error = self._judge(self._limit, outcome.failures)
        return self.error is not None

    def _judge(self, limit: FailureLimit, born: Sequence[Failure]) -> FailuresError | None:
        """Return the error of a run that fails too often; looked at whenever there are more failures."""
        tally = self._tally
        self._first += map(_describe, born[: _FIRST - len(self._first)])
        before, self._seen = self._seen, sum(tally.failed.values())
        if self._seen == before:
            return None
        counts = {node: NodeCount(tally.done[node], tally.failed[node] - self._known[node]) for node in self._nodes}
        excess = limit.find_excess(counts, _LEAST)
        if excess is None:
            return None
        first = "; ".join(self._first)
        return FailuresError(excess.failed, excess.done, f"{excess}, more than {limit.text} ({first})")


def _describe(failure: Failure) -> str:
    """Return a failure in a few words."""
    return f"{failure.node} at {failure.key}: {' '.join(tell_error(failure.error, _BRIEF).split())}"


class _BrokenResources:
    """Knows which resources workers have tried to make in vain.

    A resource whose nodes all heal their failures may be missing. A worker that has made one shows that it can be made.
    """

    def __init__(self, plan: Plan, pools: Mapping[str, Pool]) -> None:
        self._pools = pools
        self._needed = {step.number: _find_needed(plan, step.number) for step in plan.steps if step.pool}
        self._made: set[Place] = set()
        self._failed: defaultdict[Place, dict[object, str]] = defaultdict(dict)
        self._since: Counter[Place] = Counter()

    def look(self, task: InFlightTask, outcome: Outcome) -> ResourceError | None:
        """Return the error of a resource that no worker of a pool can make."""
        if not (outcome.resources or self._failed):
            return None
        step = task.operator.step
        name = step.pool or ""
        pool = self._pools[name]
        for resource, label, text in outcome.resources:
            self._note((name, resource), label if pool.concurrency > 1 else task.worker.number, text)
        errors = [self._check((name, resource), pool) for resource in self._needed[step.number]]
        return next((error for error in errors if error is not None), None)

    def _note(self, place: Place, worker: object, text: str) -> None:
        self._since.pop(place, None)
        if not text:
            self._made.add(place)
            self._failed.pop(place, None)
        elif place not in self._made:
            self._failed[place][worker] = text

    def _check(self, place: Place, pool: Pool) -> ResourceError | None:
        """Say so if all workers have tried; of an executor, which may have fewer, if no other one turns up."""
        if place not in self._failed:
            return None
        self._since[place] += 1
        workers, failed = len(pool.workers) * pool.concurrency, self._failed[place]
        all_have = len(failed) >= workers or failed.keys() == set(pool.workers)
        waits = pool.concurrency == 1 or self._since[place] <= min(workers, _MOST) + _PATIENCE
        if not all_have and waits:
            return None
        return ResourceError(place[1], place[0], next(iter(failed.values())))


def _find_needed(plan: Plan, stage: int) -> Collection[str]:
    """Return the resources without which a stage can only fail."""
    calls = [call for call in plan.program.stages[stage].calls if not callable(call.on_error)]
    return {argument.resource.name for call in calls for argument in call.arguments if argument.resource is not None}
