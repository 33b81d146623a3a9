"""Why two neighbours are not in one stage, in one clause each: what `papympi plan` prints."""

from __future__ import annotations

from collections.abc import Mapping

from papympi.model.node import Node
from papympi.plan.expand import Expansion, NodeSettings, Part
from papympi.plan.fuse import Fusion
from papympi.plan.plan import Boundary
from papympi.plan.wiring import Wiring


def find_boundaries(
    wiring: Wiring,
    expansion: Expansion,
    fusion: Fusion,
    settings_of: Mapping[str, NodeSettings],
    owners: Mapping[Part, Part],
) -> tuple[Boundary, ...]:
    """Return the reason for every edge between nodes that is not inside of a stage; `owners` are parts of parts."""
    makers = {part.output: owners[part] for part in owners} | fusion.makers
    takers: dict[tuple[str, str], Part] = {}
    for part in expansion.parts:
        for stream in part.inputs:
            takers.setdefault((stream.node, part.node), part)
    boundaries = []
    for name in wiring.bindings:
        for above in dict.fromkeys(binding.name for binding in wiring.streams(name)):
            maker, taker = makers[expansion.streams[above]], takers[above, name]
            closes = _describe_closing(wiring.graph.nodes[name]) and taker not in owners
            taker = owners.get(taker, taker)
            if fusion.groups[maker] is not fusion.groups[taker] or closes:
                reason = _find_reason(wiring, maker, taker, fusion, settings_of)
                boundaries.append(Boundary(above, name, reason))
    return tuple(boundaries)


def _find_reason(
    wiring: Wiring, maker: Part, taker: Part, fusion: Fusion, settings_of: Mapping[str, NodeSettings]
) -> str:
    """Return why a producer and its consumer are apart."""
    node = wiring.graph.nodes[taker.node]
    if maker.kind == "source":
        return "a source is read by the runner"
    closing = _describe_closing(node)
    if closing:
        return closing
    if maker.kind == "scatter":
        return "a scatter's children spread over the workers"
    if taker.kind == "scatter":
        return "a scatter streams: it is suspended between chunks"
    if maker.kind == "fold":
        return "a fold ends a stage"
    return _compare(maker, taker, settings_of) or fusion.refusals.get((maker, taker), "fusion is off")


def _describe_closing(node: Node) -> str:
    """Return what a node does to many items, or nothing if it takes them one by one."""
    options = node.options
    if options.fold is not None:
        return "fold"
    if options.gather is False:
        return ""
    return "gather" if options.gather is True else f"gather={options.gather}"


def _compare(maker: Part, taker: Part, settings_of: Mapping[str, NodeSettings]) -> str:
    """Return what of two maps differs, or nothing."""
    one, other = settings_of[maker.node], settings_of[taker.node]
    if maker.space is not taker.space:
        return f"different depths: {maker.space.depth}, {taker.space.depth}"
    if one.pool != other.pool:
        return f"different pools: {one.pool}, {other.pool}"
    if one.stride != other.stride:
        return f"different strides: {one.stride}, {other.stride}"
    if one.timed != other.timed or one.retried or other.retried:
        return _compare_care(maker.node, one, taker.node, other)
    if one.checkpoint or not (one.fuse and other.fuse):
        unfused = maker.node if not one.fuse else taker.node
        return f"checkpoint of {maker.node}" if one.checkpoint else f"fuse=False of {unfused}"
    return ""


def _compare_care(maker: str, one: NodeSettings, taker: str, other: NodeSettings) -> str:
    """Return what sets two nodes apart that are not both left to themselves."""
    if one.timed != other.timed:
        return f"only {maker if one.timed else taker} has a time-out"
    return f"{maker if one.retried else taker} is retried alone"
