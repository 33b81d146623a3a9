"""The decorator that declares a resource: what a worker makes once and gives to every call that names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from papympi.model import registry
from papympi.model.graph import Graph

F = TypeVar("F", bound=Callable[..., Any])


@overload
def resource(function: F, /) -> F: ...


@overload
def resource(*, name: str | None = None, graph: Graph | None = None) -> Callable[[F], F]: ...


def resource(
    function: F | None = None, /, *, name: str | None = None, graph: Graph | None = None
) -> F | Callable[[F], F]:
    """Declare that parameters of this name get what the function makes, once per worker, at first use.

    A generator function yields it, and is resumed to tear it down when the worker ends. Returns the function unchanged.

    Args:
        function: takes no arguments.
        name: instead of the function's own.
        graph: where it is declared, instead of the global graph.
    """
    home = registry.graph if graph is None else graph
    mark: Callable[[F], F] = home.resource(name=name)
    return mark if function is None else mark(function)
