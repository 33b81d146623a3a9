"""Work that says what has to be called instead of calling it, so that who drives it may call at once, or await."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")

Job = tuple[Any, ...]
"""A function and its arguments."""
Tried = tuple[Any, BaseException | None]
"""What a function has returned, and what it has raised."""
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
