"""Graphs of plain functions, evaluated lazily over streams of items by threads, processes or MPI ranks.

from papympi import node, run

@node(pool="mpi", stride=64)
def spectrum(image):
    return extract(image)

for value in run({"image": images}):
    ...
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import papympi.model.beginning  # noqa: F401 - it takes down what there is now
from papympi.errors import (
    FailuresError,
    GraphError,
    InputError,
    ItemTimeout,
    JournalError,
    LaunchError,
    NodeError,
    OptionError,
    PapympiError,
    PapympiWarning,
    PluginError,
    PoolError,
    RemoteError,
    ResourceError,
    SetupError,
    ShippingError,
    StateError,
    WorkerLost,
)
from papympi.model.graph import Graph, add_check
from papympi.model.item import DROP, Failure, Result
from papympi.model.module_graph import find_callers_own
from papympi.model.options import load_options_with
from papympi.model.registry import node, resource, setup

if TYPE_CHECKING:
    from papympi.hookspecs import hookimpl
    from papympi.model.registry import graph
    from papympi.runner.journal_options import JournalOptions
    from papympi.runner.mapping import map  # noqa: A004 - the field's name for it; `papympi.map` hides nothing
    from papympi.runner.run import Run, run
    from papympi.workers.evaluation.seeds import random, seed

_LAZY = {
    "JournalOptions": "papympi.runner.journal_options",
    "Run": "papympi.runner.run",
    "hookimpl": "papympi.hookspecs",
    "map": "papympi.runner.mapping",
    "random": "papympi.workers.evaluation.seeds",
    "run": "papympi.runner.run",
    "seed": "papympi.workers.evaluation.seeds",
}
"""What is imported when it is first asked for, so that declaring nodes costs nothing else."""

__all__ = [
    "DROP",
    "Failure",
    "FailuresError",
    "Graph",
    "GraphError",
    "InputError",
    "ItemTimeout",
    "JournalError",
    "JournalOptions",
    "LaunchError",
    "NodeError",
    "OptionError",
    "PapympiError",
    "PapympiWarning",
    "PluginError",
    "PoolError",
    "RemoteError",
    "ResourceError",
    "Result",
    "Run",
    "SetupError",
    "ShippingError",
    "StateError",
    "WorkerLost",
    "graph",
    "hookimpl",
    "map",
    "node",
    "random",
    "resource",
    "run",
    "seed",
    "setup",
]

load_options_with(lambda: import_module("papympi.runner.plugins").declare_node_options())
add_check(lambda: import_module("papympi.plan.layout").check_graph)


def __getattr__(name: str) -> Any:
    if name == "graph":  # each module has its own
        return find_callers_own()
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return value
