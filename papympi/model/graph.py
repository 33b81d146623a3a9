"""A graph: nodes, resources and setups under names, and what may be done to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar, overload

from papympi.errors import GraphError, OptionError, PapympiWarning, did_you_mean
from papympi.model.node import Node, Resource, Setup, find_place, make_node, make_resource, make_setup
from papympi.model.options import read_options

F = TypeVar("F", bound=Callable[..., Any])
InputOption = Mapping[str, "str | Callable[..., Any] | Sequence[str | Callable[..., Any]]"]
Check = Callable[["Graph", "Collection[str] | None"], None]

_checks: list[Callable[[], Check]] = []


class GraphWarning(PapympiWarning):
    """A graph that runs, but not as well as it could."""


def add_check(load: Callable[[], Check]) -> None:
    """Have `Graph.check` call what `load` returns; the layers above say in this way what they cannot compile."""
    _checks.append(load)


class Graph:
    """Nodes, resources and setups under unique names. Edges are looked up when the graph is checked or run.

    Attributes:
        name: for messages.
    """

    def __init__(self, name: str = "graph") -> None:
        self.name = name
        self._nodes: dict[str, Node] = {}
        self._resources: dict[str, Resource] = {}
        self._setups: dict[str, Setup] = {}

    @property
    def nodes(self) -> Mapping[str, Node]:
        """The nodes by name, in the order of definition."""
        return MappingProxyType(self._nodes)

    @property
    def resources(self) -> Mapping[str, Resource]:
        """The resources by name, in the order of definition."""
        return MappingProxyType(self._resources)

    @property
    def setups(self) -> Mapping[str, Setup]:
        """The setups by name, in the order of definition."""
        return MappingProxyType(self._setups)

    @overload
    def node(self, function: F, /) -> F: ...

    @overload
    def node(self, /, **options: Any) -> Callable[[F], F]: ...

    def node(self, function: F | None = None, /, **options: Any) -> F | Callable[[F], F]:
        """Declare a node of this graph; the options are those of `papympi.node`. Returns the function unchanged."""

        def mark(function: F) -> F:
            self.add(function, **options)
            return function

        return mark if function is None else mark(function)

    @overload
    def resource(self, function: F, /) -> F: ...

    @overload
    def resource(self, /, *, name: str | None = None) -> Callable[[F], F]: ...

    def resource(self, function: F | None = None, /, *, name: str | None = None) -> F | Callable[[F], F]:
        """Declare a resource of this graph: made once per worker, for parameters of its name."""

        def mark(function: F) -> F:
            made = make_resource(function, name, find_place(function))
            self._refuse_taken([made])
            self._resources[made.name] = made
            return function

        return mark if function is None else mark(function)

    @overload
    def setup(self, function: F, /) -> F: ...

    @overload
    def setup(self, /, *, name: str | None = None) -> Callable[[F], F]: ...

    def setup(self, function: F | None = None, /, *, name: str | None = None) -> F | Callable[[F], F]:
        """Declare a setup of this graph: called once by every worker process, before its first item."""

        def mark(function: F) -> F:
            made = make_setup(function, name, find_place(function))
            self._refuse_taken([made])
            self._setups[made.name] = made
            return function

        return mark if function is None else mark(function)

    def add(self, function: Callable[..., Any], /, **options: Any) -> Node:
        """Declare a node: any callable, with the options of `papympi.node`. Returns its record.

        Raises:
            GraphError: it cannot be a node, or its name is taken by another.
            OptionError: an unknown option or an impossible value.
        """
        if not callable(function):
            raise OptionError(f"a node is made of a function, not of {function!r}")
        where = find_place(function)
        name = options.pop("name", None)
        label = f"node {name or getattr(function, '__name__', function)!r} ({where})"
        inputs = self._read_inputs(options.pop("inputs", None), label)
        made = make_node(function, name, inputs, read_options(options, label), where)
        self._refuse_taken([made])
        self._nodes[made.name] = made
        return made

    def include(self, other: Graph, prefix: str = "") -> None:
        """Take over the nodes, resources and setups of another graph as they are now, their names prefixed.

        Edges inside `other` stay; parameters that name nothing there keep their name and may name a node here.

        Raises:
            GraphError: a name is taken.
        """
        if not isinstance(other, Graph):
            raise GraphError(f"{other!r} is no graph; of a module papympi.graph.include() takes the nodes")
        other = other.assemble()
        taken = other.nodes.keys() | other.resources.keys()
        nodes = [_rename(node, prefix, taken) for node in other.nodes.values()]
        resources = [dataclasses.replace(each, name=prefix + each.name) for each in other.resources.values()]
        setups = [dataclasses.replace(each, name=prefix + each.name) for each in other.setups.values()]
        self._refuse_taken([*nodes, *resources, *setups])
        self._nodes.update((node.name, node) for node in nodes)
        self._resources.update((resource.name, resource) for resource in resources)
        self._setups.update((setup.name, setup) for setup in setups)

    def with_functions(self, functions: Mapping[str, Callable[..., Any]]) -> Graph:
        """Return a copy in which some nodes, by name, call other functions; edges and options stay what they are."""
        replaced = {name: dataclasses.replace(self[name], function=function) for name, function in functions.items()}
        return self.copy_with({**self._nodes, **replaced}, self._resources)

    def copy_with(self, nodes: Mapping[str, Node], resources: Mapping[str, Resource]) -> Graph:
        """Return a graph of the same name that has other nodes and resources."""
        copy = Graph(self.name)
        copy._nodes.update(nodes)
        copy._resources.update(resources)
        copy._setups.update(self._setups)
        return copy

    def assemble(self, given: Collection[str] = (), targets: Sequence[str | Callable[..., Any]] = ()) -> Graph:  # noqa: ARG002 -- it has all its nodes
        """Return the graph with all nodes that it needs: itself; the graph of a module looks in others, too."""
        return self

    def check(self, pools: Collection[str] | None = None) -> None:
        """Look for everything that keeps the graph from running.

        Args:
            pools: names of the pools there are; `None`: do not look at pools.

        Raises:
            GraphError: all that was found, each with its place and the way out.
        """
        for load in _checks:
            load()(self, pools)

    def clear(self) -> None:
        """Forget all nodes, resources and setups."""
        for part in (self._nodes, self._resources, self._setups):
            part.clear()

    def __getitem__(self, name: str) -> Node:
        """Return the node of that name.

        Raises:
            GraphError: there is none; names the closest.
        """
        try:
            return self._nodes[name]
        except KeyError:
            raise GraphError(f"graph {self.name!r} has no node {name!r}{did_you_mean(name, self._nodes)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __repr__(self) -> str:
        return f"Graph({self.name!r}, {len(self)} nodes)"

    def _read_inputs(self, inputs: Any, label: str) -> dict[str, tuple[str, ...]]:
        """Return the names that `inputs=` gives to parameters."""
        if inputs is None:
            return {}
        names: dict[str, tuple[str, ...]] = {}
        items = inputs.items() if isinstance(inputs, Mapping) else [(None, None)]
        for parameter, value in items:
            values: Any = value if isinstance(value, list | tuple) else [value]
            if not isinstance(parameter, str) or not all(isinstance(each, str) or callable(each) for each in values):
                raise OptionError(
                    f"{label}: inputs={inputs!r} is impossible; it maps parameters to nodes or their names"
                )
            names[parameter] = tuple(self.name_of(each, label) for each in values)
        return names

    def name_of(self, node: str | Callable[..., Any], label: str = "") -> str:
        """Return the name of a node that is given by its name or its function; `label` is who asks, for messages.

        Raises:
            GraphError: the function is no node, or several nodes.
        """
        if isinstance(node, str):
            return node
        label = label or f"graph {self.name!r}"
        everything: list[Node | Resource] = [*self._nodes.values(), *self._resources.values()]
        names = [each.name for each in everything if each.function is node]
        if len(names) == 1:
            return names[0]
        if names:
            raise GraphError(f"{label}: given is a function of the nodes {', '.join(names)}; give the name instead")
        raise GraphError(f"{label}: given is {node!r}, which is no node of graph {self.name!r}; add it first")

    def _refuse_taken(self, made: Sequence[Node | Resource]) -> None:
        """Refuse names that something else has; the same function may be declared again."""
        for each in made:
            for there in (part.get(each.name) for part in (self._nodes, self._resources, self._setups)):
                if there is not None and (type(there) is not type(each) or there.identity != each.identity):
                    raise GraphError(
                        f"the name {each.name!r} is taken: {there.label} and {each.label}; "
                        "rename one of them, or give one another name with name="
                    )


def _rename(node: Node, prefix: str, taken: Collection[str]) -> Node:
    """Return the node under its prefixed name, its edges to names of its own graph made to follow."""
    inputs: dict[str, tuple[str, ...]] = {}
    for parameter in node.parameters:
        names = node.inputs.get(parameter.name, (parameter.name,))
        if parameter.name in node.inputs or names[0] in taken:
            inputs[parameter.name] = tuple(prefix + name if name in taken else name for name in names)
    return dataclasses.replace(node, name=prefix + node.name, inputs=MappingProxyType(inputs))
