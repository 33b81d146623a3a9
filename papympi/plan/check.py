"""What is wrong with a graph: everything found is said at once, each with its place and the way out."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping

from papympi.errors import GraphError, did_you_mean
from papympi.model.graph import Graph, GraphWarning
from papympi.plan.layout import lay_out
from papympi.plan.wiring import Wiring, merge_problems, wire


def check_graph(graph: Graph, pools: Collection[str] | None = None) -> None:
    """Look for everything that keeps a graph from running; warn of what is dear.

    Args:
        graph: all of its nodes are looked at.
        pools: names of the pools there are; `None`: do not look at pools.

    Raises:
        GraphError: says all that was found.
    """
    wiring = wire(graph)
    layout = lay_out(wiring)
    problems = [*layout.problems]
    if pools is not None:
        named = {node.name: node.options.pool for node in graph.nodes.values() if node.options.pool is not None}
        problems += check_pools(wiring, named, pools)
    if problems:
        raise GraphError(merge_problems(problems))
    for text in layout.warnings:
        warnings.warn(text, GraphWarning, stacklevel=3)


def check_pools(wiring: Wiring, named: Mapping[str, str], pools: Collection[str]) -> list[str]:
    """Return what is wrong with the pools of nodes: those that do not exist."""
    return [
        f"{wiring.label(name)} wants the pool {pool!r}, which does not exist"
        + (did_you_mean(pool, pools) or f"; there are {', '.join(sorted(pools))}")
        for name, pool in named.items()
        if pool not in pools and wiring.streams(name)
    ]
