"""One node of a graph: a function as it was declared, where, and with which options."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType, MappingProxyType
from typing import Any, NoReturn

from papympi.errors import GraphError, did_you_mean
from papympi.model.options import NodeOptions

_PACKAGE = __file__.removesuffix("model/node.py")


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A function in a graph.

    Attributes:
        name: unique in its graph.
        function: the user's function, unchanged.
        parameters: of its signature, in order; without the accumulator of a fold.
        where: `file:line`, for messages.
        options: what it was told.
        inputs: for some parameters the names that it takes its values from, instead of the parameter's own name.
        generates: it is a generator function: with inputs it scatters, without it is a source.
        identity: equal for the same function declared again.
        awaits: it is an async function.
    """

    name: str
    function: Callable[..., Any]
    parameters: tuple[inspect.Parameter, ...]
    where: str
    options: NodeOptions
    inputs: Mapping[str, tuple[str, ...]]
    generates: bool
    identity: tuple[str, ...]
    awaits: bool = False

    @property
    def label(self) -> str:
        """How messages call it: its name and its place."""
        return f"node {self.name!r} ({self.where})"


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """Something made once per worker, at first use.

    Attributes:
        name: unique in its graph, among nodes and resources.
        function: makes it, or yields it and tears it down.
        where: `file:line`, for messages.
        identity: equal for the same function declared again.
    """

    name: str
    function: Callable[[], Any]
    where: str
    identity: tuple[str, ...]

    @property
    def label(self) -> str:
        """How messages call it: its name and its place."""
        return f"resource {self.name!r} ({self.where})"


@dataclass(frozen=True, slots=True, eq=False)
class Setup(Resource):
    """What every worker process calls once, before its first item."""

    @property
    def label(self) -> str:
        """How messages call it: its name and its place."""
        return f"setup {self.name!r} ({self.where})"


def find_place(function: Callable[..., Any]) -> str:
    """Return `file:line` of a function's definition; of other callables, of the line that declares them."""
    code = getattr(inspect.unwrap(function), "__code__", None) if isinstance(function, FunctionType) else None
    if code is not None:
        return f"{code.co_filename}:{code.co_firstlineno}"
    frame = sys._getframe(1)  # noqa: SLF001 -- the documented way to a caller's line without reading sources
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def identify(function: Callable[..., Any], where: str) -> tuple[str, ...]:
    """Return what tells a function that is declared again from another: module and qualified name, else the place."""
    if isinstance(function, FunctionType | type) and function.__name__ != "<lambda>":
        return (function.__module__, function.__qualname__)
    return (type(function).__name__, where)


def find_name(function: Callable[..., Any], name: str | None, where: str) -> str:
    """Return the name a function goes by in its graph: the given one, or its own if it has one."""
    if name is None:
        name = getattr(function, "__name__", None)
        if not isinstance(name, str) or name == "<lambda>" or inspect.ismethod(function):
            raise GraphError(f"{function!r} ({where}) has no name of its own; give it one with name=")
    if not name.replace(".", "_").replace("-", "_").isidentifier():
        raise GraphError(f"{name!r} ({where}) cannot be the name of a node; use letters, digits and '_', '-' or '.'")
    return name


def make_node(
    function: Callable[..., Any],
    name: str | None,
    inputs: Mapping[str, tuple[str, ...]],
    options: NodeOptions,
    where: str,
) -> Node:
    """Return the node of a function, after looking whether it can be one."""
    name = find_name(function, name, where)
    label = f"node {name!r} ({where})"
    generates = _is(function, inspect.isgeneratorfunction) or _is(function, inspect.isasyncgenfunction)
    if generates and (options.fold is not None or options.vectorized):
        wrong = "fold" if options.fold is not None else "vectorized"
        raise GraphError(f"{label} is a generator function and has {wrong}=; make two nodes of it")
    if not options.spread and not generates:
        raise GraphError(f"{label} has spread=False, but is no generator function: it has no children; leave it out")
    for option, given in (("fold", options.fold), ("combine", options.combine), ("on_error", options.on_error)):
        if callable(given) and is_async(given):
            raise GraphError(f"{label}: {option}= is async; only the node's own function can be, give it a plain one")
    return Node(
        name=name,
        function=function,
        parameters=_read_parameters(function, inputs, options, label),
        where=where,
        options=options,
        inputs=MappingProxyType(dict(inputs)),
        generates=generates,
        identity=identify(function, where),
        awaits=is_async(function),
    )


def make_resource(function: Callable[[], Any], name: str | None, where: str) -> Resource:
    """Return the resource of a function, after looking whether it can be one."""
    name = find_name(function, name, where)
    _refuse_arguments(function, f"resource {name!r} ({where})", "a resource is made")
    return Resource(name, function, where, identify(function, where))


def make_setup(function: Callable[[], Any], name: str | None, where: str) -> Setup:
    """Return the setup of a function, after looking whether it can be one."""
    name = find_name(function, name, where)
    _refuse_arguments(function, f"setup {name!r} ({where})", "a setup is called")
    return Setup(name, function, where, identify(function, where))


def _refuse_arguments(function: Callable[..., Any], label: str, what: str) -> None:
    """Refuse what a worker cannot call by itself."""
    if is_async(function):
        raise GraphError(f"{label} is async; {what} by a plain function")
    try:
        needed = [each.name for each in inspect.signature(function).parameters.values() if _is_required(each)]
    except (TypeError, ValueError):
        needed = []
    if needed:
        raise GraphError(
            f"{label} has the parameter {needed[0]!r}; {what} on each worker without arguments: "
            "give the parameter a default or use functools.partial"
        )


def is_async(function: Callable[..., Any]) -> bool:
    """Say whether a function, or what calling an object runs, is `async`."""
    return _is(function, inspect.iscoroutinefunction) or _is(function, inspect.isasyncgenfunction)


def _is(function: Callable[..., Any], test: Callable[[Any], bool]) -> bool:
    """Say whether a test of `inspect` holds of a function or of what calling an object runs."""
    inner: Any = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    return test(inner) or (not inspect.isclass(inner) and test(type(inner).__call__))


def _is_required(parameter: inspect.Parameter) -> bool:
    """Say whether a call must give the parameter."""
    rest = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and parameter.kind not in rest


def _read_parameters(
    function: Callable[..., Any], inputs: Mapping[str, tuple[str, ...]], options: NodeOptions, label: str
) -> tuple[inspect.Parameter, ...]:
    """Return the parameters that values can be bound to; what has no signature has those that `inputs` names."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        if not inputs:
            raise GraphError(f"{label} has no signature to read; say what it takes with inputs=") from None
        return _name_parameters(inputs)
    if options.fold is not None:
        _take_accumulator(parameters, label)
    parameters = [each for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD]
    unknown = inputs.keys() - {each.name for each in parameters}
    if unknown and not hasattr(inspect.unwrap(function), "__code__") and _fits(parameters, len(inputs)):
        return _name_parameters(inputs)
    if unknown:
        _refuse_unknown(next(name for name in inputs if name in unknown), parameters, label)
    return tuple(parameters)


def _take_accumulator(parameters: list[inspect.Parameter], label: str) -> None:
    """Take the accumulator of a fold off its parameters; `*args` takes it, and others, too."""
    if not parameters or parameters[0].kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD):
        raise GraphError(f"{label} is a fold; its first parameter must be the accumulator")
    if parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
        del parameters[0]


def _refuse_unknown(name: str, parameters: list[inspect.Parameter], label: str) -> NoReturn:
    """Refuse `inputs=` for what is not a parameter."""
    known = [each.name for each in parameters]
    way_out = did_you_mean(name, known) or f"; its parameters are {', '.join(known) or 'none'}"
    raise GraphError(f"{label} has inputs= for {name!r}, which is not one of its parameters{way_out}")


def _fits(parameters: list[inspect.Parameter], count: int) -> bool:
    """Say whether all parameters of a builtin are positional-only and so many can be given."""
    if any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in parameters):
        return True
    positional = [each for each in parameters if each.kind is inspect.Parameter.POSITIONAL_ONLY]
    return len(positional) == len(parameters) and sum(map(_is_required, positional)) <= count <= len(positional)


def _name_parameters(names: Mapping[str, tuple[str, ...]]) -> tuple[inspect.Parameter, ...]:
    """Return positional-only parameters of these names."""
    return tuple(inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names)
