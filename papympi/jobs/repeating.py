"""Calls a node again with what it was given when it failed, in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from papympi.errors import JournalError
from papympi.jobs.lone_worker import LoneWorker
from papympi.model.graph import Graph
from papympi.model.item import DROP, Key
from papympi.plan.compile import PlanSettings, compile_plan
from papympi.plan.program import Inner, ResourceSpec, Stage
from papympi.runner.loading import LoadedGraph, load_graph
from papympi.runner.options import parse_stride
from papympi.script.interpreter import read_hash_seed
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
    if Path(str(record.get("folder", "."))).is_dir():
        os.chdir(str(record.get("folder", ".")))
    loaded = load_graph(target)
    given, settings = read_given(folder, node, key), _read_settings(record)
    for stage, depth in _find_stages(loaded, record["options"], settings, node):
        if stage.kind == "fold" or stage.inputs == len(given):
            return partial(_repeat, loaded.graph, settings["seed"], _Wanted(stage, node, key, depth), given)
    raise JournalError(f"the pipeline has no node {node!r} any more that takes what was given to it at item {key}")


def settings_of(folder: Path) -> dict[str, Any]:
    """Return what the run in a folder went by."""
    run = RunDirectory(folder)
    run.require()
    return _read_settings(run.read_record())


def _read_settings(record: dict[str, Any]) -> dict[str, Any]:
    """Return what the run went by, wherever that was set, as far as it is known: those before did not say it."""
    options = record.get("options")
    options = options if isinstance(options, dict) else {}
    said = options.get("settings")
    strides = {name: stride for text in options.get("strides", ()) for name, stride in parse_stride(text).items()}
    known = {"seed": options.get("seed", 0), "strides": strides, "fusion": options.get("fusion", True)}
    known |= {"pool": "processes", "hash_seed": read_hash_seed(), **(said if isinstance(said, dict) else {})}
    return known


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


def _find_stages(
    loaded: LoadedGraph, options: dict[str, Any], settings: dict[str, Any], node: str
) -> list[tuple[Stage, int]]:
    """Return the stages that call a node, each with the depth of the items that it is given."""
    names = {text.partition("=")[0] for text in options.get("inputs", ())}
    chosen = PlanSettings(
        default_pool=settings["pool"], strides=settings["strides"], fusion=settings["fusion"], journal=True
    )
    plan = compile_plan(loaded.graph, options.get("targets") or None, names, chosen)
    return [
        (stage, plan.steps[number].space.depth)
        for number, stage in plan.program.stages.items()
        if any(call.node == node for call in stage.calls)
    ]


class _Wanted(NamedTuple):
    """The call that is to be repeated: that of a node at a key, in a stage whose items have keys of some depth."""

    stage: Stage
    node: str
    key: Key
    depth: int


def _repeat(graph: Graph, seed: int, wanted: _Wanted, given: list[Any]) -> Any:
    """Repeat a call as a worker would have made it, after the setups."""
    with ExitStack() as stack:
        setups = [ResourceSpec(setup.name, setup.function) for setup in graph.setups.values()]
        worker = LoneWorker(seed, setups, stack)
        if wanted.stage.kind == "fold":
            return _refold(worker, wanted, given)
        try:
            _Repetition(worker, wanted).walk(given)
        except _Reached as reached:
            return reached.value
    raise JournalError(f"node {wanted.node!r} is not called for this item any more")


class _Reached(Exception):
    """The wanted call has been made; has its value."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _Repetition:
    """Repeats a stage up to the call that is wanted, with children that do not leave it; if asked, for one of them."""

    def __init__(self, worker: LoneWorker, wanted: _Wanted) -> None:
        self._worker = worker
        self._stage = stage = wanted.stage
        self._node = wanted.node
        self._key = wanted.key[: wanted.depth] if stage.inner else wanted.key
        self._child = wanted.key[wanted.depth] if stage.inner and len(wanted.key) > wanted.depth else None
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
        totals = {
            number: self._worker.make(stage.calls[number].node, self._key, factory) for number, factory in inner.folds
        }
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
        key = self._key if child is None else (*self._key, child)
        value = self._worker.call(call, columns, key, *first, scatters=number in self._scatters)
        if call.node == self._node and child == self._child:
            raise _Reached(value)
        if value is not DROP:
            columns[self._stage.inputs + number] = value


def _refold(worker: LoneWorker, wanted: _Wanted, given: list[Any]) -> Any:
    """Call the function of a fold for every item that it had been given; the last one, where it failed, has the key."""
    begun, items = given
    *parent, last = wanted.key or (0,)
    assert wanted.stage.factory is not None
    total = begun[0] if begun else worker.make(wanted.node, tuple(parent), wanted.stage.factory)
    for number, item in enumerate(items, last + 1 - len(items)):
        total = worker.call(wanted.stage.calls[0], {0: item}, (*parent, number), total)
    return total
