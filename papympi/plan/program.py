"""What a worker must know before its first batch: the functions of every stage and how they are wired.

A stage works on columns. Columns 0 .. inputs-1 are the stage's inputs; each call appends one more. `Stage.outputs`
names the columns that go home.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from inspect import isgeneratorfunction
from typing import Any, Final, Literal

from papympi.plan.preparation import Preparation

StageKind = Literal["map", "scatter", "fold"]
MOST: Final = 1024
"""So many children that do not leave a stage are there at a time at most."""
OnError = Literal["fail", "drop"] | Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class ResourceSpec:
    """A resource or a setup as a worker calls it: its name, and the (generator) function without parameters."""

    name: str
    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a call: a column or a resource, given by position or by name.

    Attributes:
        column: the column whose value is passed, or `None` for a resource.
        keyword: the parameter's name if it is passed by keyword, else `None`.
        resource: the resource that is passed instead of a column.
    """

    column: int | None
    keyword: str | None = None
    resource: ResourceSpec | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One node of a stage.

    Attributes:
        node: the node's name.
        function: the user's function. Of a scatter it is a generator function. Of a fold it takes the accumulator
            first, before `arguments`.
        arguments: in the order of the call, positional ones first.
        vectorized: the function takes lists of up to the batch's items and returns as many results.
        on_error: what becomes of an item that fails here, and of `Failure`s that arrive here.
        skip_failed: gathered lists skip `Failure`s instead of becoming the first of them.
        timeout: how long an item may take, in seconds; `None`: as long as it likes.
        retries: how often an item that failed is tried again.
        retry_on: the exceptions after which it is.
        backoff: how long after its first failure an item is tried again, in seconds; doubled each time.
        awaits: the function is async: what it returns is awaited, or is an async generator.
        level: how long the keys of the members are that it skips or drops if they have failed; 0: as its positions'.
        depth: how long the keys of its failures are, where those of its positions are longer; `None`: as long.
        counts: what of it is counted as done by its node, which may be made of several calls: its positions, the
            members of the lists that it is given, or nothing.
    """

    node: str
    function: Callable[..., Any]
    arguments: tuple[Argument, ...]
    vectorized: bool = False
    on_error: OnError = "fail"
    skip_failed: bool = False
    timeout: float | None = None
    retries: int = 0
    retry_on: tuple[type[BaseException], ...] = (BaseException,)
    backoff: float = 0.1
    awaits: bool = False
    level: int = 0
    depth: int | None = None
    counts: Literal["items", "members", "nothing"] = "items"

    def find_inner_key(self, key: tuple[int, ...]) -> tuple[int, ...]:
        """Return the key of a position if it is not that of an item, else `()`."""
        return () if self.depth is None else key

    def may_retry(self, error: BaseException, attempts: int) -> bool:
        """Say whether an item is tried again that has failed with an error after so many attempts before."""
        return attempts < self.retries and issubclass(type(error), self.retry_on)


@dataclass(frozen=True, slots=True)
class Inner:
    """The children of a scatter that do not leave the stage, and what becomes of them there.

    Attributes:
        scatter: number of the call that makes them.
        maps: numbers of the calls that are made for each child, in order.
        folds: numbers of the calls that fold them, each with what makes a fresh accumulator.
        gathers: columns of children, each with the column of their lists; the latter are numbered after all others.
        shared: columns of the parents that maps take, too.
        chunk: how many children are there at a time; 0: as many as take some milliseconds.
    """

    scatter: int
    maps: tuple[int, ...]
    folds: tuple[tuple[int, Callable[[], Any]], ...]
    gathers: tuple[tuple[int, int], ...]
    shared: tuple[int, ...]
    chunk: int = 0

    @property
    def calls(self) -> tuple[int, ...]:
        """Numbers of the calls that are its own: the scatter first, the others are made for children."""
        return (self.scatter, *self.maps, *(number for number, _ in self.folds))


@dataclass(frozen=True, slots=True)
class Stage:
    """Nodes that are evaluated in one task.

    Attributes:
        kind: "map": calls for each position, or for children of it; "scatter": one call, a generator; "fold": one call,
            an accumulator.
        inputs: how many columns come with a task.
        calls: in an order in which every argument is known.
        outputs: the columns that go home; of "scatter" and "fold" the one that the call appends.
        factory: "fold": makes a fresh accumulator.
        inner: the children that do not leave it, of one scatter each.
        shared: the columns that come with a task and that somebody else takes, too, or the same task once more.
    """

    kind: StageKind
    inputs: int
    calls: tuple[Call, ...]
    outputs: tuple[int, ...]
    factory: Callable[[], Any] | None = None
    inner: tuple[Inner, ...] = ()
    shared: tuple[int, ...] = ()

    def find_inside(self, node: str) -> Inner | None:
        """Return the children that a node is called for, if it is called for children."""
        numbers = [number for number, call in enumerate(self.calls) if call.node == node]
        return next((inner for inner in self.inner if not {*inner.calls[1:]}.isdisjoint(numbers)), None)


@dataclass(slots=True)
class Program:
    """The stages of a plan, by number, with what a worker needs to load them.

    Attributes:
        stages: by number.
        by_value: modules whose functions and classes travel by value, because no worker can or may import them
            (`__main__`, the pipeline file). Everything else travels by reference.
        path: folders that come first in a worker's `sys.path`.
        loads: the module of the pipeline, which the command line has loaded; "": there is a script.
        seed: of the run, from which every item gets its own.
        setups: what every worker process calls before its first item; torn down like resources.
        state: settings of the runner that hold in other processes, too, by name; read when the run begins.
        preparation: what a worker does before it loads the stages; `None`: nothing.
    """

    stages: dict[int, Stage] = field(default_factory=dict)
    by_value: tuple[str, ...] = ("__main__",)
    path: tuple[str, ...] = ()
    seed: int = 0
    setups: tuple[ResourceSpec, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)
    loads: str = ""
    preparation: Preparation | None = None

    def list_functions(self) -> Iterator[tuple[str, Any]]:
        """Yield whatever of it is the user's, each with whose it is."""
        yield from ((f"setup {spec.name!r}", spec.function) for spec in self.setups)
        for stage in self.stages.values():
            for call in stage.calls:
                node = f"node {call.node!r}"
                yield from ((node, function) for function in (call.function, call.on_error, stage.factory))
                for inner in stage.inner:
                    yield from ((f"node {stage.calls[number].node!r}", factory) for number, factory in inner.folds)
                for argument in call.arguments:
                    if argument.resource is not None:
                        yield f"resource {argument.resource.name!r}", argument.resource.function

    def list_modules(self) -> list[str]:
        """Return the modules that its functions come from, and what calls them."""
        layers = (layer for _, function in self.list_functions() for layer in _find_layers(function))
        return list(dict.fromkeys(str(getattr(layer, "__module__", "")) for layer in layers))


def _find_layers(function: Any) -> Iterator[Any]:
    """Yield a function; if it is an adapter or a partial, also what it calls in the end."""
    while callable(function):
        yield function
        function = getattr(function, "function", None) or getattr(function, "func", None)


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
