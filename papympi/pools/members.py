"""A pool made of pools: the workers of several, local and remote, under consecutive numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from papympi.contracts import Capabilities, Pool
from papympi.errors import OptionError
from papympi.plan.program import Program
from papympi.transport.doorbell import Watch
from papympi.transport.records import Logs
from papympi.transport.task import Lost, Outcome, Task


class _MemberWorker(NamedTuple):
    """Where a task for one of the pool's workers goes: the member, and the number of the worker there."""

    member: Pool
    worker: int


class MembersPool:
    """The workers of `members`, one after the other.

    A member's worker that evaluates n batches at the same time (an executor) is n workers here, so that each worker has
    a concurrency of 1 whatever the members are. `places` is the smallest that a member allows.

    Args:
        members: pools that nobody else uses, not yet open; at least one.
    """

    concurrency = 1

    def __init__(self, name: str, members: Sequence[Pool]) -> None:
        if not members:
            raise OptionError(f"pool {name!r}: members must name at least one pool")
        self.name = name
        self.capabilities = _combine([member.capabilities for member in members])
        self.workers: Sequence[str] = ()
        self.places = 1
        self._members = tuple(members)
        self._owners: list[_MemberWorker] = []
        self._watch: Watch | None = None

    @property
    def notes(self) -> list[str]:
        """Return what the members have to say."""
        return [note for member in self._members for note in member.notes]

    def open(self, program: Program) -> None:
        """Open the members; if one fails, those that were opened before are killed."""
        with contextlib.ExitStack() as stack:
            for member in self._members:
                member.open(program)
                stack.callback(member.kill)
            self._number_workers()
            self._watch = Watch(self._members)
            stack.pop_all()

    def submit(self, worker: int, task: Task) -> None:
        """Hand a task to the member that the worker belongs to."""
        member, number = self._owners[worker]
        member.submit(number, task)

    def collect(self) -> list[Outcome | Lost | Logs]:
        """Return what has come home to the members; each may also have to see to a time-out of which nobody tells."""
        news: list[Outcome | Lost | Logs] = []
        for member in self._members:
            for arrival in member.collect():
                if isinstance(arrival, Lost):
                    news += self._renumber(member, arrival)
                else:
                    news.append(arrival)
        return news

    def withdraw(self) -> None:
        """Let the members' workers begin nothing more."""
        for member in self._members:
            getattr(member, "withdraw", tuple)()  # a plugin may be from before there was such a thing

    def fileno(self) -> int | None:
        """Return a descriptor that tells of all members; `None` if one of them has none."""
        return None if self._watch is None or self._watch.polls else self._watch.fileno()

    def deadline(self) -> float | None:
        """Return the first deadline of the members."""
        return None if self._watch is None else self._watch.deadline()

    def close(self) -> None:
        """Close all members, whatever happens to one of them."""
        self._forget_members()
        with contextlib.ExitStack() as stack:
            for member in self._members:
                stack.callback(member.close)

    def kill(self) -> None:
        """Kill all members, whatever happens to one of them."""
        self._forget_members()
        with contextlib.ExitStack() as stack:
            for member in self._members:
                stack.callback(member.kill)

    def _number_workers(self) -> None:
        """Number the workers, now that the members know theirs."""
        labels: list[str] = []
        self._owners = []
        for member in self._members:
            for number, label in enumerate(member.workers):
                self._owners += [_MemberWorker(member, number)] * member.concurrency
                labels += [label] * member.concurrency
        self.workers = labels
        self.places = min(max(1, member.places // member.concurrency) for member in self._members)

    def _forget_members(self) -> None:
        """Stop watching, before the members close their descriptors."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _renumber(self, member: Pool, lost: Lost) -> list[Lost]:
        """Return the report of a member's lost worker for each worker that it was here."""
        if lost.single:
            return [lost]
        numbers = [i for i, owner in enumerate(self._owners) if owner == (member, lost.worker)]
        return [replace(lost, worker=i, logs=None if n else lost.logs) for n, i in enumerate(numbers)]


def _combine(members: list[Capabilities]) -> Capabilities:
    """Return what holds for every member."""
    return Capabilities(
        shares_memory=all(member.shares_memory for member in members),
        streams=all(member.streams for member in members),
        survives_crash=all(member.survives_crash for member in members),
        can_kill=all(member.can_kill for member in members),
        holds_up=any(member.holds_up for member in members),
        parallel=all(member.parallel for member in members),
    )
