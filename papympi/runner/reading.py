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
        if session.engine is None or not session.engine.tally.failures:
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


def split_results(entries: Iterator[Result | Failure], names: Iterable[str]) -> dict[str, Iterator[Any]]:
    """Return an iterator over the values of each target; what one has not taken while another went on is kept."""
    kept: dict[str, deque[Any]] = {name: deque() for name in names}

    def read(name: str) -> Iterator[Any]:
        while True:
            while not kept[name]:
                entry = next(entries, None)
                if entry is None:
                    return
                if isinstance(entry, Result):
                    kept[entry.node].append(entry.value)
                else:
                    kept[entry.target].append(entry)
            yield kept[name].popleft()

    return {name: read(name) for name in kept}


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
