"""Calls a node again with what it was given when it failed, in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from papympi.errors import JournalError
from papympi.model.item import Key
from papympi.plan.compile import PlanSettings, compile_plan
from papympi.plan.origin import open_resource
from papympi.plan.program import Call, Stage
from papympi.runner.loading import Loaded, load_graph
from papympi.runner.options import parse_stride
from papympi.stores.ledger import read_given
from papympi.stores.rundir import RunDirectory


def repeat_item(folder: Path, node: str, key: Key) -> Callable[[], Any]:
    """Return what calls a node as it was called when it failed.

    Raises:
        JournalError: it did not fail there, or the pipeline is not what it was.
    """
    run = RunDirectory(folder)
    run.require()
    record = run.read_record()
    options = record.get("options", {})
    if "target" not in options:
        raise JournalError(f"{folder} is not of a run from the command line: it does not say which pipeline it is of")
    if Path(record.get("folder", ".")).is_dir():
        os.chdir(record["folder"])
    loaded = load_graph(options["target"])
    given = read_given(folder, node, key)
    for stage in _find_stages(loaded, options, node):
        if stage.kind == "fold" or stage.inputs == len(given):
            return partial(_repeat, stage, node, given)
    raise JournalError(f"the pipeline has no node {node!r} any more that takes what was given to it at item {key}")


def _find_stages(loaded: Loaded, options: dict[str, Any], node: str) -> list[Stage]:
    """Return the stages that call a node."""
    names = {text.partition("=")[0] for text in options.get("inputs", ())}
    strides = {name: stride for text in options.get("strides", ()) for name, stride in parse_stride(text).items()}
    settings = PlanSettings(strides=strides, fusion=options.get("fusion", True), journal=True)
    plan = compile_plan(loaded.graph, options.get("targets") or None, names, settings)
    return [stage for stage in plan.program.stages.values() if any(call.node == node for call in stage.calls)]


def _repeat(stage: Stage, node: str, given: list[Any]) -> Any:
    """Call the functions of a stage up to that of a node."""
    with ExitStack() as stack:
        if stage.kind == "fold":
            return _refold(stage, given, stack)
        columns = list(given)
        for call in stage.calls:
            columns.append(_call(call, columns, stack))
            if call.node == node:
                break
        return list(columns[-1]) if stage.kind == "scatter" else columns[-1]


def _refold(stage: Stage, given: list[Any], stack: ExitStack) -> Any:
    begun, items = given
    assert stage.factory is not None
    total = begun[0] if begun else stage.factory()
    for item in items:
        total = _call(stage.calls[0], [item], stack, total)
    return total


def _call(call: Call, columns: list[Any], stack: ExitStack, *first: Any) -> Any:
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
