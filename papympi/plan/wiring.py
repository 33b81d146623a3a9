"""Who gives what to whom: every parameter of every node traced to a node, an input of the run or a resource."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from inspect import Parameter
from typing import Literal, TypeVar

from papympi.errors import GraphError, did_you_mean
from papympi.model.graph import Graph
from papympi.model.node import Node

Name = TypeVar("Name", str, int)


@dataclass(frozen=True, slots=True)
class Binding:
    """What one parameter of a node is bound to: one value of its call.

    Attributes:
        parameter: the parameter.
        name: where it comes from.
        kind: what that is.
        place: its position among the positional arguments, or the keyword it is given by.
    """

    parameter: Parameter
    name: str
    kind: Literal["node", "input", "resource"]
    place: int | str


@dataclass(slots=True)
class Wiring:
    """The edges of a graph, as far as the targets need them.

    Attributes:
        graph: whose they are.
        order: names of nodes and inputs; whoever gives something comes before whoever takes it.
        bindings: for each node what its call is given; a node replaced by an input has none.
        inputs: names that the caller gives, in the order of their first use.
        targets: names that the run delivers.
    """

    graph: Graph
    order: list[str] = field(default_factory=list)
    bindings: dict[str, tuple[Binding, ...]] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    targets: tuple[str, ...] = ()

    def streams(self, name: str) -> list[Binding]:
        """Return the bindings of a node that carry items; a source has none."""
        return [binding for binding in self.bindings.get(name, ()) if binding.kind != "resource"]

    def node(self, name: str) -> Node | None:
        """Return the node that makes the items of that name, `None` if the caller gives them."""
        return self.graph.nodes[name] if name in self.bindings else None

    def label(self, name: str) -> str:
        """Return how messages call a node or input."""
        node = self.node(name)
        return f"input {name!r}" if node is None else node.label


def wire(graph: Graph, targets: Sequence[str] | None = None, given: Collection[str] = ()) -> Wiring:
    """Return the edges that the targets need.

    Args:
        graph: whose.
        targets: names of nodes or inputs; `None`: all sinks.
        given: names that the caller gives; a node of such a name is not called.

    Raises:
        GraphError: an unknown target, a cycle, a parameter that cannot be given what it names.
    """
    graph = graph.assemble(given, targets or ())
    if not graph.nodes:
        raise GraphError(f"graph {graph.name!r} has no nodes; declare functions with @node first")
    bindings = _bind_all(graph, given)
    inputs = dict.fromkeys(given)
    for some in bindings.values():
        inputs.update((each.name, None) for each in some if each.kind == "input")
    chosen = _choose_targets(graph, bindings, targets, inputs)
    needed = _find_ancestors(bindings, chosen if targets is not None else bindings)
    names = [name for name in (*inputs, *bindings) if name in needed]
    order = sort_stably(
        names, {name: [each.name for each in bindings.get(name, ()) if each.name in needed] for name in names}
    )
    if len(order) < len(needed):
        raise GraphError(describe_cycle(graph, bindings, needed - set(order)))
    inputs_needed = [name for name in order if name not in bindings]
    return Wiring(graph, order, {name: bindings[name] for name in order if name in bindings}, inputs_needed, chosen)


def merge_problems(problems: Sequence[str]) -> str:
    """Return one message of several."""
    if len(problems) == 1:
        return problems[0]
    return "\n".join([f"{len(problems)} things are wrong with the graph:", *(f"- {each}" for each in problems)])


def bind(graph: Graph, node: Node) -> tuple[Binding, ...]:
    """Return what a call of the node is given, in the order of its parameters."""
    bindings: list[Binding] = []
    skipped = ""
    position = 0
    for parameter in node.parameters:
        names = _find_names(graph, node, parameter)
        if not names:
            skipped = skipped or ("" if parameter.kind is Parameter.VAR_POSITIONAL else parameter.name)
        by_keyword = parameter.kind is Parameter.KEYWORD_ONLY or skipped
        if by_keyword and names and parameter.kind in (Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL):
            raise GraphError(
                f"{node.label}: {parameter.name!r} can only be given by position, and {skipped!r} before it is left to "
                f"its default; bind {skipped!r} with functools.partial, or give it with inputs="
            )
        for name in names:
            bindings.append(
                Binding(parameter, name, _find_kind(graph, name), parameter.name if by_keyword else position)
            )
            position += 1
    return tuple(bindings)


def _bind_all(graph: Graph, given: Collection[str]) -> dict[str, tuple[Binding, ...]]:
    """Return the bindings of every node that is called."""
    bindings: dict[str, tuple[Binding, ...]] = {}
    problems: list[str] = []
    for node in graph.nodes.values():
        if node.name not in given:
            try:
                bindings[node.name] = bind(graph, node)
            except GraphError as error:
                problems.append(str(error))
    if problems:
        raise GraphError(merge_problems(problems))
    return bindings


def describe_cycle(graph: Graph, bindings: dict[str, tuple[Binding, ...]], names: Collection[str]) -> str:
    """Return the message about a cycle among (or above) these nodes, with its path."""
    name = next(iter(name for name in bindings if name in names))
    path: dict[str, int] = {}
    while name not in path:
        path[name] = len(path)
        name = next(binding.name for binding in bindings[name] if binding.name in names)
    cycle = [*list(path)[path[name] :], name]
    cycle.reverse()
    places = ", ".join(f"{each} at {graph.nodes[each].where}" for each in dict.fromkeys(cycle[:20]))
    shown = " -> ".join(cycle if len(cycle) <= 20 else [*cycle[:10], "...", *cycle[-10:]])
    return f"the nodes form a cycle: {shown} ({places}); rename a parameter, or bind it elsewhere with inputs="


def _find_names(graph: Graph, node: Node, parameter: Parameter) -> tuple[str, ...]:
    """Return the names that a parameter takes its values from; none if it is left to its default."""
    if parameter.name in node.inputs:
        names = node.inputs[parameter.name]
        if len(names) != 1 and parameter.kind is not Parameter.VAR_POSITIONAL:
            raise GraphError(
                f"{node.label}: inputs= gives {len(names)} names for {parameter.name!r}; "
                "only a parameter like *args takes several"
            )
        return names
    known = parameter.name in graph.nodes or parameter.name in graph.resources
    optional = parameter.default is not Parameter.empty or parameter.kind is Parameter.VAR_POSITIONAL
    return (parameter.name,) if known or not optional else ()


def _find_kind(graph: Graph, name: str) -> Literal["node", "input", "resource"]:
    """Return what a name stands for in the graph."""
    if name in graph.nodes:
        return "node"
    return "resource" if name in graph.resources else "input"


def _choose_targets(
    graph: Graph, bindings: dict[str, tuple[Binding, ...]], targets: Sequence[str] | None, inputs: Collection[str]
) -> tuple[str, ...]:
    """Return the targets: those asked for, or the sinks in the order of definition."""
    if targets is not None:
        for name in targets:
            if name not in graph.nodes and name not in inputs:
                known = [*graph.nodes, *inputs]
                way_out = did_you_mean(name, known) or f"; there are {', '.join(known[:20])}"
                raise GraphError(f"there is no node {name!r} to be a target{way_out}")
        return tuple(dict.fromkeys(targets))
    consumed = {each.name for some in bindings.values() for each in some}
    return tuple(name for name in bindings if name not in consumed)


def _find_ancestors(bindings: dict[str, tuple[Binding, ...]], targets: Iterable[str]) -> set[str]:
    """Return the targets and everything above them, without the resources."""
    needed: set[str] = set()
    waiting = list(targets)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting.extend(each.name for each in bindings.get(name, ()) if each.kind != "resource")
    return needed


def sort_stably(names: Sequence[Name], above: Mapping[Name, Iterable[Name]]) -> list[Name]:
    """Return the names in topological order, else as they come; those in or below a cycle are left out."""
    sorter = TopologicalSorter(above)
    with contextlib.suppress(CycleError):  # what is not in or below it can be sorted nevertheless
        sorter.prepare()
    place = {name: index for index, name in enumerate(names)}
    ready: list[int] = []
    order: list[Name] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(ready, place[name])
        order.append(names[heapq.heappop(ready)])
        sorter.done(order[-1])
    return order
