"""Where rows begin: the call of a source node, made by whoever pulls them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from inspect import isgeneratorfunction
from typing import Any

from papympi.plan.program import Call, ResourceSpec


def open_source(call: Call) -> Iterator[Any]:
    """Yield what a source node makes; its resources live as long as it is iterated over."""
    with ExitStack() as stack:
        arguments: list[Any] = []
        named: dict[str, Any] = {}
        for each in call.arguments:
            assert each.resource is not None
            value = open_resource(each.resource, stack)
            if each.keyword is None:
                arguments.append(value)
            else:
                named[each.keyword] = value
        yield from call.function(*arguments, **named)


def open_resource(resource: ResourceSpec, stack: ExitStack) -> Any:
    """Return the value of a resource; it is torn down with the stack."""
    if isgeneratorfunction(resource.function):
        return stack.enter_context(contextmanager(resource.function)())
    return resource.function()
