"""Makes the graph of a case, the inputs and the pools of a run."""

from __future__ import annotations

import multiprocessing
import random
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from papympi import Graph, GraphError, run
from papympi.plan.compile import PlanSettings, compile_plan
from papympi.runner.run import Run
from tests.fuzz import nodes, rules
from tests.fuzz.specs import Case, Spec, Step
from tests.fuzz.values import dress

FUNCTIONS = {
    "map": (nodes.call_map, nodes.await_map),
    "gather": (nodes.call_map, nodes.await_map),
    "group": (nodes.call_map, nodes.await_map),
    "scatter": (nodes.scatter, nodes.await_scatter),
    "fold": (nodes.fold, nodes.await_fold),
    "vectorized": (nodes.call_vectorized, nodes.await_vectorized),
    "source": (nodes.source, nodes.await_source),
}
"""For each kind the plain function and the one that waits."""


def list_inputs(case: Case) -> dict[str, Any]:
    """Return the inputs of a run."""
    inputs: dict[str, Any] = {}
    for spec in case.specs:
        if spec.kind == "input":
            rows = [dress(spec, rules.row_of(spec.name, number)) for number in range(spec.size)]
            inputs[spec.name] = iter(rows) if spec.lazy else rows
    return inputs


def add_nodes(graph: Graph, case: Case, state: str) -> None:
    """Add the nodes of a case to a graph, without their prefix."""
    for kind in sorted({spec.resource for spec in case.specs} - {""}):
        graph.resource(nodes.RESOURCES[kind], name=f"resource_{kind}")
    for spec in case.specs:
        if spec.kind != "input":
            options = {} if spec.kind == "source" else list_options(spec, case.prefix)
            kind = "vectorized" if spec.vectorized else spec.kind
            function = nodes.call_with_resource if spec.resource else FUNCTIONS[kind][spec.awaits]
            known = replace(spec, state=state)
            graph.add(partial(function, known), name=spec.name.removeprefix(case.prefix), **options)


def list_options(spec: Spec, prefix: str) -> dict[str, Any]:
    """Return the options of a node that is no source."""
    options: dict[str, Any] = {
        "pool": spec.pool,
        "inputs": {"values": [name.removeprefix(prefix) for name in spec.inputs]},
        "on_error": nodes.heal if spec.on_error == "heal" else spec.on_error,
        "fuse": spec.fuse,
        "checkpoint": spec.checkpoint,
        "vectorized": spec.vectorized,
    }
    if spec.resource:
        options["inputs"]["resource"] = f"resource_{spec.resource}"
    if spec.kind == "scatter":
        options["spread"] = spec.spread
    if spec.kind == "fold":
        options |= {"fold": list if spec.listed else tuple, "combine": nodes.combine if spec.combine else None}
    if spec.kind in {"gather", "group"}:
        options["gather"] = True if spec.kind == "gather" else spec.size
    if spec.retries:
        options |= {"retries": spec.retries, "backoff": 0}
    return options | {name: value for name in ("stride", "timeout") if (value := getattr(spec, name)) is not None}


def build(case: Case, state: str = "") -> Graph:
    """Return the graph of a case."""
    inner = Graph("inner")
    add_nodes(inner, case, state)
    if not case.prefix:
        return inner
    graph = Graph("outer")
    graph.include(inner, case.prefix)
    return graph


def spread_where_needed(case: Case) -> None:
    """Let the children of a scatter spread where the graph refuses that they stay."""
    kept = [spec for spec in case.specs if spec.kind == "scatter" and not spec.spread]
    for spec in kept:
        spec.spread = True
    for spec in kept:
        spec.spread = False
        try:
            for journal in (False, True):
                compile_plan(build(case), case.targets, settings=PlanSettings(journal=journal))
        except GraphError:
            spec.spread = True


def make_pool(name: str, stack: ExitStack, profile: str) -> Any:
    """Return a pool as `run` takes it."""
    if name == "executor" and profile == "light":
        return stack.enter_context(ThreadPoolExecutor(2))
    if name == "executor":
        return stack.enter_context(ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")))
    return {
        "two threads": {"members": ["inline", "threads"]},
        "mixed": {"members": ["threads", "processes"]},
        "crew": {"members": ["processes", "ranks"]},
        "unguarded ranks": {"backend": "mpi", "workers": 2, "isolate": False},
        "wide ranks": {"backend": "mpi", "workers": 1, "workers_per_rank": 2},
    }.get(name, name)


def draw_bounds(case: Case, step: Step) -> dict[str, Any]:
    """Return the options of a run that change no result."""
    chance = random.Random(f"{case.profile} {case.seed} {step.number}")
    bounds = {
        "admission": chance.choice([1, 1, 2, 3, 5, 8, 13, 20, None, None]),
        "admission_bytes": chance.choice([None, None, 1, 100, 1000, 100_000]),
        "fusion": chance.random() < 0.7,
        "seed": rules.SEED,
    }
    if any(pool.startswith(("executor", "loky")) for pool in case.pools.values()):
        bounds |= {"admission": 10**6, "admission_bytes": None}  # there a scatter runs to its end in one task
    if step.number == 0:
        bounds |= {"admission": 1000, "fusion": False}
    return bounds


def start(case: Case, step: Step, stack: ExitStack, state: str, **options: Any) -> Run:
    """Begin a run of a case; step 0 is as plain as can be, on `inline` where that can do what the nodes do."""
    troubles = {kind for spec in case.specs for kind in spec.trouble}
    is_calm = case.profile in {"light", "processes"} and not troubles & {"unpicklable", "unopenable"}
    pools = {
        name: "inline" if is_calm and step.number == 0 else make_pool(pool, stack, case.profile)
        for name, pool in case.pools.items()
    }
    pools["ranks"] = {"backend": "mpi", "workers": 1}  # a member
    given = draw_bounds(case, step) | options
    return run(list_inputs(case), graph=build(case, state), targets=case.targets, pools=pools, **given)
