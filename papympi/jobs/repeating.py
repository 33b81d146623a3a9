"""Calls a node again with what it was given when it failed, in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from papympi.errors import JournalError
from papympi.model.graph import Graph
from papympi.model.item import DROP, Key
from papympi.plan.compile import PlanSettings, compile_plan
from papympi.plan.program import Call, Inner, ResourceSpec, Stage, open_resource
from papympi.runner.loading import LoadedGraph, load_graph
from papympi.runner.options import parse_stride
from papympi.stores.failures import read_given
from papympi.stores.rundir import RunDirectory


def repeat_item(folder: Path, node: str, key: Key) -> Callable[[], Any]:
    """Return what calls a node as it was called when it failed.

    Raises:
        JournalError: it did not fail there, or the pipeline is not what it was.
    """
    run = RunDirectory(folder)
    run.require()
    record, target = run.read_record(), read_target(run)
    options = record["options"]
    if Path(str(record.get("folder", "."))).is_dir():
        os.chdir(str(record.get("folder", ".")))
    loaded = load_graph(target)
    given = read_given(folder, node, key)
    for stage, depth in _find_stages(loaded, options, node):
        if stage.kind == "fold":
            return partial(_set_up, loaded.graph, partial(_refold, stage, given))
        if stage.inputs == len(given):
            child = key[depth] if stage.inner and len(key) > depth else None
            return partial(_set_up, loaded.graph, partial(_repeat, stage, node, given, child))
    raise JournalError(f"the pipeline has no node {node!r} any more that takes what was given to it at item {key}")


def read_target(run: RunDirectory) -> str:
    """Return which pipeline a run directory is of, as it was given to `papympi run`.

    Raises:
        JournalError: it does not say.
    """
    options = run.read_record().get("options")
    target = options.get("target") if isinstance(options, dict) else None
    if not isinstance(target, str):
        raise JournalError(f"{run.path} is not of a run from the command line: it does not say which pipeline it is of")
    return target


def _find_stages(loaded: LoadedGraph, options: dict[str, Any], node: str) -> list[tuple[Stage, int]]:
    """Return the stages that call a node, each with the depth of the items that it is given."""
    names = {text.partition("=")[0] for text in options.get("inputs", ())}
    strides = {name: stride for text in options.get("strides", ()) for name, stride in parse_stride(text).items()}
    settings = PlanSettings(strides=strides, fusion=options.get("fusion", True), journal=True)
    plan = compile_plan(loaded.graph, options.get("targets") or None, names, settings)
    return [
        (stage, plan.steps[number].space.depth)
        for number, stage in plan.program.stages.items()
        if any(call.node == node for call in stage.calls)
    ]


def _set_up(graph: Graph, repeat: Callable[[], Any]) -> Any:
    """Repeat a call as a worker would have made it, after the setups."""
    with ExitStack() as stack:
        for setup in graph.setups.values():
            open_resource(ResourceSpec(setup.name, setup.function), stack)
        return repeat()


class _Reached(Exception):
    """The wanted call has been made; has its value."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _repeat(stage: Stage, node: str, given: list[Any], child: int | None) -> Any:
    """Call the functions of a stage up to that of a node; if it is called for children, for one of them if asked."""
    with ExitStack() as stack:
        try:
            _Repetition(stage, node, child, stack).walk(given)
        except _Reached as reached:
            return reached.value
    raise JournalError(f"node {node!r} is not called for this item any more")


class _Repetition:
    """Repeats a stage up to the call that is wanted, with children that do not leave it."""

    def __init__(self, stage: Stage, node: str, child: int | None, stack: ExitStack) -> None:
        self._stage = stage
        self._node = node
        self._child = child
        self._stack = stack
        self._scatters = {inner.scatter for inner in stage.inner}
        if stage.kind == "scatter":
            self._scatters.add(len(stage.calls) - 1)

    def walk(self, given: list[Any]) -> None:
        """Call one function after the other for one item."""
        stage, columns = self._stage, dict(enumerate(given))
        inside = {number: inner for inner in stage.inner for number in inner.calls}
        for number in range(len(stage.calls)):
            inner = inside.get(number)
            if inner is None:
                self._call(number, columns, None)
            elif number == inner.scatter:
                self._call(number, columns, None)
                self._walk_children(inner, columns)

    def _walk_children(self, inner: Inner, columns: dict[int, Any]) -> None:
        """Call the functions for children; if one of them is wanted in a map, for that one alone."""
        stage = self._stage
        wanted = {stage.calls[number].node for number in inner.maps}
        lists: dict[int, list[Any]] = {target: [] for _, target in inner.gathers}
        totals = {number: factory() for number, factory in inner.folds}
        for child, value in enumerate(columns.pop(stage.inputs + inner.scatter)):
            if value is DROP or (self._child not in {None, child} and self._node in wanted):
                continue
            own = {**columns, stage.inputs + inner.scatter: value}
            for number in inner.maps:
                self._call(number, own, child)
            for number, total in totals.items():
                self._call(number, own, child, total)
                totals[number] = own.pop(stage.inputs + number, total)
            for source, target in inner.gathers:
                lists[target] += [own[source]] if source in own else []
        columns.update(lists)
        columns.update((stage.inputs + number, total) for number, total in totals.items())

    def _call(self, number: int, columns: dict[int, Any], child: int | None, *first: Any) -> None:
        """Call one function if everything that it takes is there."""
        call = self._stage.calls[number]
        if any(argument.column is not None and argument.column not in columns for argument in call.arguments):
            return
        value = _call(call, columns, self._stack, *first)
        value = list(value) if number in self._scatters else value
        if call.node == self._node and child == self._child:
            raise _Reached(value)
        if value is not DROP:
            columns[self._stage.inputs + number] = value


def _refold(stage: Stage, given: list[Any]) -> Any:
    """Call the function of a fold for every item that it had been given."""
    begun, items = given
    assert stage.factory is not None
    total = begun[0] if begun else stage.factory()
    with ExitStack() as stack:
        for item in items:
            total = _call(stage.calls[0], {0: item}, stack, total)
    return total


def _call(call: Call, columns: dict[int, Any], stack: ExitStack, *first: Any) -> Any:
    """Call one function with values of its columns and with resources."""
    positional, named = list(first), {}
    for argument in call.arguments:
        if argument.resource is not None:
            value = open_resource(argument.resource, stack)
        else:
            assert argument.column is not None
            value = [columns[argument.column]] if call.vectorized else columns[argument.column]
        if argument.keyword is None:
            positional.append(value)
        else:
            named[argument.keyword] = value
    result = call.function(*positional, **named)
    return result[0] if call.vectorized else result
