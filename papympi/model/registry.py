"""The decorators that declare nodes, resources and setups in the graph of their module."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from papympi.model.graph import Graph, InputOption
from papympi.model.module_graph import find_callers_own, find_home
from papympi.model.options import ErrorOption, ExceptionOption, StrideOption

if TYPE_CHECKING:
    graph: Graph
    """The graph of the module that asks: where its `node` and `resource` declare what is not told another graph."""

F = TypeVar("F", bound=Callable[..., Any])


def __getattr__(name: str) -> Any:
    if name == "graph":  # each module has its own
        return find_callers_own()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@overload
def node(function: F, /) -> F: ...


@overload
def node(
    *,
    name: str | None = None,
    inputs: InputOption | None = None,
    pool: str | None = None,
    stride: StrideOption = None,
    gather: bool | int = False,
    fold: Callable[[], Any] | None = None,
    combine: Callable[[Any, Any], Any] | None = None,
    vectorized: bool = False,
    on_error: ErrorOption = "fail",
    timeout: float | None = None,
    retries: int = 0,
    retry_on: ExceptionOption = BaseException,
    backoff: float = 0.1,
    checkpoint: bool = False,
    fuse: bool = True,
    spread: bool = True,
    graph: Graph | None = None,
    **plugin_options: Any,
) -> Callable[[F], F]: ...


def node(function: F | None = None, /, *, graph: Graph | None = None, **options: Any) -> F | Callable[[F], F]:
    """Declare that a function is a node. Returns the function unchanged.

    A parameter that names a node takes that node's items. One with a default that names nothing is a constant, one
    that names a resource gets it, any other is an input of the run. Without parameters the node is a source. A
    generator function with parameters scatters: each value it yields is a child.

    Args:
        function: any callable; what has no name of its own needs `name`.
        graph: where it is declared, instead of the graph of its module.
        **options: `name`: instead of the function's own.
            `inputs`: for parameters the node (its name or function) to take; of `*args` a list of them.
            `pool`: name of the pool that evaluates it.
            `stride`: how many items a batch has, or "auto"; batches that take less than 0.5 ms travel together.
            `gather`: `True` takes the list of all children of an item, a number lists of so many siblings.
            `fold`: makes an accumulator; the function takes it first and returns it.
            `combine`: joins two accumulators in order, so that workers can fold apart.
            `vectorized`: the function takes lists of up to `stride` items and returns as many results.
            `on_error`: "fail", "drop", or a function that makes a value of a `Failure`.
            `timeout`: how long one item may take, in seconds; of a vectorized node, that times the number of items.
            `retries`: how often an item that failed is tried again, whatever it failed of.
            `retry_on`: an exception class or a tuple of them: only after these.
            `backoff`: seconds before the first retry, more or less; doubled each time, a minute at most.
            `checkpoint`: its results are journalled, so that a resumed run need not compute what is above them.
            `fuse`: it may be evaluated in one call with its neighbours.
            `spread`: of a generator, `False`: its children, all that is made of them, and the gathers and folds that
            close them are evaluated in one call, where the generator runs.
            Any other is an option that a plugin declared.

    Raises:
        GraphError: it cannot be a node, or its name is taken by another.
        OptionError: an unknown option or an impossible value.
    """
    return _declare("node", function, graph, options)


def _declare(kind: str, function: F | None, graph: Graph | None, options: dict[str, Any]) -> F | Callable[[F], F]:
    """Declare a function as a node, resource or setup, or return what does; in the graph of its module by default."""

    def mark(function: F) -> F:
        home = find_home(function) if graph is None else graph
        marked: F = getattr(home, kind)(**options)(function)
        return marked

    return mark if function is None else mark(function)


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
        graph: where it is declared, instead of the graph of its module.
    """
    return _declare("resource", function, graph, {"name": name})


@overload
def setup(function: F, /) -> F: ...


@overload
def setup(*, name: str | None = None, graph: Graph | None = None) -> Callable[[F], F]: ...


def setup(function: F | None = None, /, *, name: str | None = None, graph: Graph | None = None) -> F | Callable[[F], F]:
    """Declare that every worker process calls the function once, before its first item. Returns it unchanged.

    A generator function is resumed to tear it down when the worker ends. Setups are called in the order of their
    declaration, on every pool: on `inline`, `threads` and `asyncio` once in the runner, in the thread that asks for
    the first result; in a worker that replaces another again. What one raises ends the run with a `SetupError`.

    Args:
        function: takes no arguments.
        name: instead of the function's own.
        graph: where it is declared, instead of the graph of its module.
    """
    return _declare("setup", function, graph, {"name": name})
