"""A plan evaluated step by step in plain dictionaries, to see what a rewrite of it may have changed."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest

from papympi.model.graph import Graph
from papympi.model.item import DROP, Failure, Key
from papympi.plan.plan import Plan, Space, Step, Stream
from papympi.plan.program import Call
from papympi.plan.wiring import Wiring, wire


class Gathered(list):
    """A list that a gather or group made; failures may be in it."""


class Interpreter:
    """Evaluates a plan.

    Attributes:
        values: by stream and key.
        calls: how often a node's function was called for a key.
    """

    def __init__(self, plan: Plan, inputs: Mapping[str, Iterable[Any]]) -> None:
        self.plan = plan
        self.inputs = inputs
        self.values: dict[Stream, dict[Key, Any]] = {}
        self.children: dict[Space, dict[Key, list[Key]]] = {}
        self.calls: Counter[tuple[str, Key]] = Counter()
        for step in plan.steps:
            getattr(self, f"_{step.kind}")(step)

    def results(self) -> dict[str, dict[Key, Any]]:
        """Return the values of the targets; a failure as the node and key where it was born."""
        return {
            target.node: {key: _name_failure(value) for key, value in self.values[target].items()}
            for target in self.plan.targets
        }

    def _keys(self, space: Space) -> Iterator[Key]:
        if space.kind == "unit":
            return iter([()])
        return itertools.chain.from_iterable(self.children[space].values())

    def _rows(self, step: Step) -> Iterator[tuple[Key, list[Any]]]:
        """Yield what the inputs have where all of them are there."""
        for key in self._keys(step.space):
            places = [(self.values[stream], key[: stream.space.depth]) for stream in step.inputs]
            if all(place in values for values, place in places):
                yield key, [values[place] for values, place in places]

    def _source(self, step: Step) -> None:
        for stream in step.outputs:
            origin = self.plan.origins.get(stream.node)
            rows = self.inputs[stream.node] if origin is None else origin.function()
            self.values[stream] = {(index,): value for index, value in enumerate(rows)}
        lengths = {len(self.values[stream]) for stream in step.outputs}
        assert len(lengths) == 1
        self.children[step.outputs[0].space] = {(): list(self.values[step.outputs[0]])}

    def _map(self, step: Step) -> None:
        stage = self.plan.program.stages[step.number]
        made: list[dict[Key, Any]] = [{} for _ in stage.outputs]
        for key, row in self._rows(step):
            columns = list(row)
            for call in stage.calls:
                arguments = [columns[argument.column] for argument in call.arguments]
                columns.append(self._call(call, key, arguments))
            for values, column in zip(made, stage.outputs, strict=True):
                if columns[column] is not DROP:
                    values[key] = columns[column]
        self.values.update(zip(step.outputs, made, strict=True))

    def _scatter(self, step: Step) -> None:
        call = self.plan.program.stages[step.number].calls[0]
        values: dict[Key, Any] = {}
        children = self.children[step.outputs[0].space] = {}
        for key, row in self._rows(step):
            many = self._call(call, key, [row[argument.column] for argument in call.arguments])
            made = [many] if isinstance(many, Failure) else [] if many is DROP else list(many)
            children[key] = [(*key, index) for index in range(len(made))]
            values.update(zip(children[key], made, strict=True))
        self.values[step.outputs[0]] = values

    def _gather(self, step: Step) -> None:
        found = self.values[step.inputs[0]]
        self.values[step.outputs[0]] = {
            parent: Gathered(found[key] for key in keys if key in found)
            for parent, keys in self.children[step.space].items()
        }

    def _group(self, step: Step) -> None:
        found = self.values[step.inputs[0]]
        space = step.outputs[0].space
        values: dict[Key, Any] = {}
        children = self.children[space] = {}
        for parent, keys in self.children[step.space].items():
            members = [found[key] for key in keys if key in found]
            if step.skip_failed:
                members = [member for member in members if not isinstance(member, Failure)]
            groups = [members[start : start + step.size] for start in range(0, len(members), step.size)]
            children[parent] = [(*parent, index) for index in range(len(groups))]
            values.update(zip(children[parent], map(Gathered, groups), strict=True))
        self.values[step.outputs[0]] = values

    def _fold(self, step: Step) -> None:
        stage = self.plan.program.stages[step.number]
        call, found = stage.calls[0], self.values[step.inputs[0]]
        values = self.values[step.outputs[0]] = {}
        for parent, keys in self.children[step.space].items():
            total = stage.factory()
            for key in keys:
                if key not in found or (call.skip_failed and isinstance(found[key], Failure)):
                    continue
                if total is DROP or isinstance(total, Failure):
                    break
                total = self._call(call, key, [total, *(found[key] for _ in call.arguments)], first=1)
            if total is not DROP:
                values[parent] = total

    def _call(self, call: Call, key: Key, arguments: list[Any], first: int = 0) -> Any:
        """Return what a call makes of its arguments; `first`: how many come before those of the call."""
        if any(argument is DROP for argument in arguments):
            return DROP
        arguments = [_open(argument, skip_failed=call.skip_failed) for argument in arguments]
        failed = [argument for argument in arguments if isinstance(argument, Failure)]
        if failed:
            return DROP if call.on_error == "drop" else failed[0]
        self.calls[call.node, key] += 1
        names = [None] * first + [argument.keyword for argument in call.arguments]
        positional = [value for value, name in zip(arguments, names, strict=True) if name is None]
        named = {name: value for value, name in zip(arguments, names, strict=True) if name is not None}
        try:
            if call.vectorized:
                return call.function(*([each] for each in positional), **{k: [v] for k, v in named.items()})[0]
            return call.function(*positional, **named)
        except ValueError as error:
            return DROP if call.on_error == "drop" else Failure(call.node, key, error)


def _open(value: Any, *, skip_failed: bool) -> Any:
    """Return a gathered list as a call sees it."""
    if not isinstance(value, Gathered):
        return value
    failed = [member for member in value if isinstance(member, Failure)]
    if failed and not skip_failed:
        return failed[0]
    return [member for member in value if not isinstance(member, Failure)]


def _name_failure(value: Any) -> Any:
    return ("failed", value.node, value.key) if isinstance(value, Failure) else value


@pytest.fixture(scope="session")
def interpret() -> Callable[..., Interpreter]:
    """Return what evaluates a plan over inputs."""
    return lambda plan, **inputs: Interpreter(plan, inputs)


def _take(*some):
    return some


def _split(*some):
    yield some


def _add(total, *some):
    return some


_KINDS = {
    "map": (_take, {}),
    "scatter": (_split, {}),
    "gather": (_take, {"gather": True}),
    "group": (_take, {"gather": 2}),
    "fold": (_add, {"fold": int}),
}


@pytest.fixture(scope="session")
def sketch() -> Callable[..., Wiring]:
    """Return what wires a graph of lines such as `"mean = gather parts x"`: a node, its kind, what it takes."""

    def wire_lines(*lines: str) -> Wiring:
        graph = Graph("sketched")
        for line in lines:
            name, _, kind, *above = line.split()
            function, options = _KINDS[kind]
            graph.add(function, name=name, inputs={"some": above}, **options)
        return wire(graph)

    return wire_lines
