"""The graph of a module: what `@node` declares in it, and what its nodes take from modules that it has imported."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from inspect import unwrap
from types import MappingProxyType, ModuleType
from typing import Any

from papympi.errors import GraphError
from papympi.model.graph import Graph
from papympi.model.node import Node, Resource

_graphs: dict[int, ModuleGraph] = {}
"""By the identity of the module's globals, which a graph keeps: a module may be loaded again under its name."""


def forget_graphs() -> None:
    """Let go of all modules, in a process that is at its end."""
    _graphs.clear()


class ModuleGraph(Graph):
    """The graph of one module. Its sinks are its own; the nodes above them may be those of modules that it imports.

    Args:
        namespace: the globals of the module.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.module: str = namespace.get("__name__", "__main__")
        super().__init__("main" if self.module == "__main__" else self.module)
        self._namespace = namespace

    def __reduce__(self) -> tuple[Any, ...]:
        return _find_by_name, (self.module,)

    def is_current(self) -> bool:
        """Return whether its module is the one that is imported under its name."""
        module = sys.modules.get(self.module)
        return module is not None and vars(module) is self._namespace

    def include(self, other: Graph | ModuleType, prefix: str = "") -> None:
        """Take over the nodes and resources of another graph or module as they are now, their names prefixed.

        Edges inside `other` stay; parameters that name nothing there keep their name and may name a node here.

        Raises:
            GraphError: a name is taken, or the module declares nothing.
        """
        if isinstance(other, ModuleType):
            there = find_module_graph(vars(other))
            if not there.nodes and not there.resources and not there.imported():
                raise GraphError(f"module {other.__name__!r} declares no nodes, so there is nothing to include")
            other = there
        super().include(other, prefix)

    def name_of(self, node: str | Callable[..., Any], label: str = "") -> str:
        """Return the name of a node that is given by its name or function; of another module's, `MODULE:NAME`."""
        if isinstance(node, str) or self.declares(node):
            return super().name_of(node, label)
        homes = [graph for graph in _list_current().values() if graph.declares(node)]
        own = [graph for graph in homes if graph.module == getattr(node, "__module__", None)]
        for home in (own or homes)[:1]:
            return f"{home.module}:{home.name_of(node, label)}"
        return super().name_of(node, label)

    def imported(self) -> list[ModuleGraph]:
        """Return the graphs of the modules that its module has imported, or has imported nodes from."""
        others = {name: graph for name, graph in _list_current().items() if graph is not self and graph.list_declared()}
        homes = {id(each.function): graph for graph in others.values() for each in graph.list_declared()}
        found: dict[str, ModuleGraph] = {}
        for value in list(self._namespace.values()):  # nothing of a value is looked at: it may be a proxy
            if issubclass(type(value), ModuleType):
                name = str(vars(value).get("__name__"))
                found.update((key, graph) for key, graph in others.items() if f"{key}.".startswith(f"{name}."))
            elif id(value) in homes:
                found[homes[id(value)].module] = homes[id(value)]
        return list(found.values())

    def assemble(self, given: Collection[str] = (), targets: Sequence[str | Callable[..., Any]] = ()) -> Graph:
        """Return its nodes together with those of other modules that they take items from; itself if there are none.

        A name is looked for in the module that uses it, in the inputs of the run, then in the modules it has imported.

        Args:
            given: names that the caller gives as inputs.
            targets: nodes that are wanted, too, wherever they are.

        Raises:
            GraphError: several imported modules have a node of the name.
        """
        if not self._nodes and not targets:
            imported = self.imported()
            if len(imported) > 1:
                names = ", ".join(graph.module for graph in imported)
                raise GraphError(
                    f"module {self.module!r} declares no node, and imports several modules that do: {names}. Say which "
                    f"are to be run: papympi.graph.include({imported[0].module}), or targets="
                )
            if imported:
                return imported[0].assemble(given)
        return _Assembly(self, given).run(targets)

    def declares(self, function: object) -> bool:
        """Return whether one of its nodes or resources is made of a function."""
        return any(each.function is function for each in self.list_declared())

    def list_declared(self) -> list[Node | Resource]:
        """Return its nodes and resources."""
        return [*self._nodes.values(), *self._resources.values()]


class _Assembly:
    """Puts the graph of a module together with what it takes from others."""

    def __init__(self, own: ModuleGraph, given: Collection[str]) -> None:
        self._own = own
        self._given = given
        self._nodes: dict[str, Node] = dict(own.nodes)
        self._resources: dict[str, Resource] = dict(own.resources)
        self._names = {(own.module, name): name for name in (*own.nodes, *own.resources)}
        self._todo: deque[tuple[ModuleGraph, str, Node]] = deque((own, name, node) for name, node in own.nodes.items())

    def run(self, targets: Sequence[str | Callable[..., Any]]) -> Graph:
        """Return the graph."""
        for target in targets:
            self._resolve(self._own, self._own.name_of(target), "the targets")
        while self._todo:
            home, name, node = self._todo.popleft()
            if name not in self._given:
                self._nodes[name] = self._rewire(home, name, node)
        if len(self._names) == len(self._own.nodes) + len(self._own.resources):
            return self._own
        return self._own.copy_with(self._nodes, self._resources)

    def _rewire(self, home: ModuleGraph, name: str, node: Node) -> Node:
        """Return a node under its name here, its edges made to follow."""
        inputs = dict(node.inputs)
        for parameter in node.parameters:
            asked = node.inputs.get(parameter.name, (parameter.name,))
            names = tuple(self._resolve(home, each, node.label) for each in asked)
            if names != asked:
                inputs[parameter.name] = names
        return replace(node, name=name, inputs=MappingProxyType(inputs))

    def _resolve(self, home: ModuleGraph, name: str, label: str) -> str:
        """Return what a name is called here that a node of a module uses; take over what it stands for."""
        module, colon, short = name.partition(":")
        if colon:
            return self._take(_list_current()[module], short)
        if name in home.nodes or name in home.resources:
            return self._take(home, name)
        if name in self._given or name in self._own.nodes or name in self._own.resources:
            return name
        found = {
            (graph.nodes.get(name) or graph.resources[name]).identity: graph
            for graph in home.imported()
            if name in graph.nodes or name in graph.resources
        }
        if len(found) > 1:
            modules = " and ".join(graph.module for graph in found.values())
            raise GraphError(
                f"{label} takes {name!r}, which {modules} have, and {home.module!r} imports both; say which by its "
                f"function, e.g. inputs={{{name!r}: {next(iter(found.values())).module}.{name}}}"
            )
        return self._take(next(iter(found.values())), name) if found else name

    def _take(self, home: ModuleGraph, name: str) -> str:
        """Take over a node or resource; return its name here: its own, with its module before it if that is taken."""
        if (home.module, name) in self._names:
            return self._names[home.module, name]
        taken = name in self._nodes or name in self._resources
        new = self._names[home.module, name] = f"{home.module}.{name}" if taken else name
        if name in home.resources:
            self._resources[new] = replace(home.resources[name], name=new)
        else:
            self._nodes[new] = home.nodes[name]
            self._todo.append((home, new, home.nodes[name]))
        return new


def find_module_graph(namespace: dict[str, Any]) -> ModuleGraph:
    """Return the graph of the module with these globals; there is always one."""
    if id(namespace) not in _graphs:
        _graphs[id(namespace)] = ModuleGraph(namespace)
    return _graphs[id(namespace)]


def _list_current() -> dict[str, ModuleGraph]:
    """Return the graphs by the names of their modules; of several with a name that of the imported one, or the last."""
    found: dict[str, ModuleGraph] = {}
    for graph in list(_graphs.values()):
        if graph.module not in found or graph.is_current() or not found[graph.module].is_current():
            found[graph.module] = graph
    return found


def _find_by_name(module: str) -> ModuleGraph:
    known = _list_current()
    return known[module] if module in known else find_module_graph(vars(sys.modules.get(module, ModuleType(module))))


def list_callers() -> Iterator[dict[str, Any]]:
    """Yield the globals of the modules that are being executed, the nearest first, without our own."""
    frame = sys._getframe(1)  # noqa: SLF001 -- the documented way to a caller's module
    seen: set[int] = set()
    while frame is not None:
        root = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if root not in ("papympi", "importlib") and id(frame.f_globals) not in seen:
            seen.add(id(frame.f_globals))
            yield frame.f_globals
        frame = frame.f_back  # type: ignore[assignment]  # the loop ends at None


def find_home(function: Callable[..., Any]) -> ModuleGraph:
    """Return where a function is declared: in its own module while that is executed, else in whoever declares it."""
    callers = list(list_callers())
    own = getattr(unwrap(function), "__globals__", None)
    return find_module_graph(next((caller for caller in callers if caller is own), callers[0] if callers else {}))


def find_callers_own() -> ModuleGraph:
    """Return the graph of the calling module."""
    return find_module_graph(next(list_callers(), {}))


def find_callers_graph() -> ModuleGraph:
    """Return the graph of the calling module; if it neither has nodes nor imports any, of whoever called that."""
    for namespace in list_callers():
        graph = find_module_graph(namespace)
        if graph.nodes or graph.imported():
            return graph
    return find_callers_own()
