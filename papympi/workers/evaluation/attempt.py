"""Ways to call a user's function so that whatever it raises costs its own item only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from papympi.model.attempt import attempt

__all__ = ["Attempt", "Job", "Steps", "T", "Tried", "attempt", "attempt_interruptibly", "drive"]


def attempt_interruptibly(function: Callable[..., Any], *args: Any) -> tuple[Any, BaseException | None]:
    """Do as `attempt` does, but let Ctrl-C through to whoever runs the main thread."""
    result, error = attempt(function, *args)
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error
    return result, error


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
