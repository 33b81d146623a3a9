"""Where the code that asks is: at which item of which node, in which worker.

A worker says it once a task; which item of the task is at work is looked up only when somebody asks. Evaluators that
have several items at work at once say it for each, with `at(FixedLocation(recorder, seed, node, key))` in the item's
own task or thread, since every one of those has a context of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Protocol

from papympi.errors import StateError
from papympi.model.item import Key
from papympi.workers.evaluation.recorder import OutputRecorder


class Location(Protocol):
    """Where code runs."""

    @property
    def recorder(self) -> OutputRecorder | None:
        """Return what takes prints and log messages; `None`: nothing is to be done about them."""

    @property
    def seed(self) -> int:
        """Return the seed of the run."""

    def locate(self, number: int = 0) -> tuple[str, Key | None]:
        """Return the node and the key of the item at work; of several the one with that number."""


@dataclass(frozen=True, slots=True)
class FixedLocation:
    """A location that stays the same: one item, or a resource (then there is no key)."""

    recorder: OutputRecorder | None
    seed: int
    node: str
    key: Key | None

    def locate(self, number: int = 0) -> tuple[str, Key | None]:
        """Return node and key."""
        if number:
            raise StateError(f"node {self.node!r} has one item at work; there is no number {number}")
        return self.node, self.key


_here: ContextVar[Location | None] = ContextVar("papympi_here", default=None)
_latest: list[Location | None] = [None]
"""The location of the one evaluator of a worker process, for threads that users have started there."""


def current() -> Location | None:
    """Return where the caller is; `None`: in no node function."""
    return _here.get() or _latest[0]


def enter(location: Location) -> Token[Location | None]:
    """Say where the caller is from now on; give `leave` what this returns."""
    if location.recorder is not None and location.recorder.whole:
        _latest[0] = location
    return _here.set(location)


def leave(token: Token[Location | None]) -> None:
    """Take back what `enter` has said."""
    _here.reset(token)
    _latest[0] = None


@contextmanager
def at(location: Location) -> Iterator[None]:
    """Say where the code of a block is."""
    token = _here.set(location)
    try:
        yield
    finally:
        _here.reset(token)


def _forget() -> None:
    """Be nowhere: a process that a function has forked speaks for itself."""
    _here.set(None)
    _latest[0] = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
