"""How a run is read: from deliveries to values and results, and what a reader is told at the wrong time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal, Never, Self

from papympi.errors import StateError
from papympi.model.item import Failure, Result
from papympi.plan.plan import Plan
from papympi.runner.session import Session

Errors = Literal["raise", "keep", "drop"]


class Refusal:
    """Stands in for an iterator that must not be read, or not any more: says why, every time.

    Args:
        why: what the `StateError` says.
    """

    def __init__(self, why: str) -> None:
        self._why = why

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Never:
        raise StateError(self._why)


def read_values(session: Session, errors: Errors) -> Iterator[list[Any]]:
    """Yield the values of the one target, in lists as they come; the session begins with the first."""
    session.begin()
    for found in session.deliveries():
        values = found.present()
        if not session.failures.count:
            yield values
        else:
            yield from _sift(session, values, errors)


def read_results(session: Session, errors: Errors) -> Iterator[Result | Failure]:
    """Yield the results of every target; the session begins with the first."""
    session.begin()
    for found in session.deliveries():
        for key, value in found.keyed():
            if type(value) is Failure:
                for kept in _sift(session, [replace(value, target=found.node, place=key)], errors):
                    yield from kept
            else:
                yield Result(found.node, key, value)


def _sift(session: Session, values: list[Any], errors: Errors) -> Iterator[list[Any]]:
    """Yield values in lists; what becomes of failures is as `run(errors=...)` says."""
    kept: list[Any] = []
    for value in values:
        failed = type(value) is Failure
        session.misses += failed
        if failed and errors == "raise":
            yield kept
            raise value.to_error()
        if not failed or errors == "keep":
            kept.append(value)
    yield kept


class Tee:
    """The values of each target of a run, taken by readers that go on at their own pace.

    Args:
        entries: the results of all targets.
        names: of the targets.
        most: so many values of one target are kept for its reader.
    """

    def __init__(self, entries: Iterator[Result | Failure], names: Iterable[str], most: int) -> None:
        self._entries = entries
        self._kept: dict[str, deque[Any]] = {name: deque() for name in names}
        self._most = most

    def readers(self) -> dict[str, Iterator[Any]]:
        """Return the reader of each target."""
        return {name: TeeReader(self, name) for name in self._kept}

    def take(self, name: str) -> Any:
        """Return the next value of a target; what comes of others meanwhile is kept.

        Raises:
            StateError: too much of another target would have to be kept.
        """
        mine = self._kept[name]
        while not mine:
            for other, values in self._kept.items():
                if len(values) >= self._most:
                    raise StateError(
                        f"{len(values)} values of {other!r} wait for their reader while {name!r} is read: read "
                        f"{other!r} now and then, or leave it out by targets=, or keep more by tee(most=...)"
                    )
            entry = next(self._entries)
            if isinstance(entry, Result):
                self._kept[entry.node].append(entry.value)
            else:
                self._kept[entry.target].append(entry)
        return mine.popleft()


class TeeReader:
    """The reader of one target; after a `StateError` it goes on once the others have been read."""

    def __init__(self, tee: Tee, name: str) -> None:
        self._tee = tee
        self._name = name

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self._tee.take(self._name)


def refuse_single(plan: Plan) -> str:
    """Return why a run of several targets cannot be iterated; "" if it has one."""
    if len(plan.targets) == 1:
        return ""
    names = ", ".join(repr(target.node) for target in plan.targets)
    return (
        f"the run has {len(plan.targets)} targets ({names}), so iterating it has no one value: "
        "iterate run.results(), or name one with targets="
    )


def explain_busy(error: ValueError) -> Exception:
    """Return what to raise for a `ValueError` that `next` of a generator has raised.

    Python raises it where the generator is being advanced already, without entering it; else it is the caller's own.
    """
    traceback = error.__traceback__
    if traceback is None or traceback.tb_next is not None:
        return error
    return StateError(
        "this run is being read already, by another thread or further up in this one: one reader at a time. "
        "Let one thread read, and hand the items on through a queue.Queue"
    )
