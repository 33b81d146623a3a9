"""Ways to call a user's function so that whatever it raises costs its own item only.

It stands alone since evaluators of all kinds, the pools and the runner need it and nothing else of this room.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from papympi.model.attempt import attempt, attempt_interruptibly

__all__ = ["Attempt", "Job", "Steps", "T", "Tried", "attempt", "attempt_interruptibly", "drive"]


T = TypeVar("T")

Job = tuple[Any, ...]
"""A function and its arguments."""
Tried = tuple[Any, BaseException | None]
"""What a function has returned, and what it has raised."""
Attempt = Callable[..., Tried]
"""`attempt(function, *args)` returns what the function returned and what it raised."""
Steps = Generator[Job, Tried, T]
"""Yields jobs, is sent what came of each, and returns its result."""


def drive(steps: Steps[T], attempt: Callable[..., Tried]) -> T:
    """Take every step at once; return what the last one makes."""
    tried: Tried | None = None
    while True:
        try:
            job = next(steps) if tried is None else steps.send(tried)
        except StopIteration as end:
            result: T = end.value
            return result
        tried = attempt(*job)
