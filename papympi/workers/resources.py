"""Resources: made once in a worker, when a call first needs them; taken down when the worker ends."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from papympi.plan.program import ResourceSpec

Attempt = Callable[..., tuple[Any, BaseException | None]]
"""`attempt(function, *args)` returns what the function returned and what it raised."""


class Resources:
    """The resources of one worker.

    A resource that cannot be made is not tried again: every call that needs it fails with its error.
    """

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._made: dict[str, tuple[Any, BaseException | None]] = {}
        self._open: list[Any] = []

    def take(self, spec: ResourceSpec) -> tuple[Any, BaseException | None]:
        """Return the resource, made now if need be, or the error that it could not be made for."""
        made = self._made.get(spec.name)
        if made is None:
            made = self._made[spec.name] = self._attempt(self._make, spec.function)
        return made

    def close(self) -> None:
        """Take the resources down, the last first."""
        while self._open:
            self._attempt(next, self._open.pop(), None)
        self._made.clear()

    def _make(self, function: Callable[[], Any]) -> Any:
        if not inspect.isgeneratorfunction(function):
            return function()
        generator = function()
        resource = next(generator)
        self._open.append(generator)
        return resource
