"""The spaces of a graph laid out for a run: what must come to an end before what, and what can therefore not be.

What is wrong with a graph is said all at once, each with its place and the way out.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping

from papympi.errors import GraphError, did_you_mean
from papympi.model.graph import Graph, GraphWarning
from papympi.model.telling import clean
from papympi.plan.depth import SpaceLayout, find_base, list_closed, place_nodes
from papympi.plan.plan import Space
from papympi.plan.wiring import Wiring, merge_problems, sort_stably, wire


def check_graph(graph: Graph, pools: Collection[str] | None = None) -> None:
    """Look for everything that keeps a graph from running; warn of what is dear.

    Args:
        graph: all of its nodes are looked at.
        pools: names of the pools there are; `None`: do not look at pools.
    """
    wiring = wire(graph)
    layout = lay_out(wiring)
    named = {node.name: node.options.pool for node in graph.nodes.values() if node.options.pool is not None}
    check_layout(layout, wiring, named, pools)
    for text in layout.warnings:
        warnings.warn(clean(text), GraphWarning, stacklevel=3)


def check_layout(layout: SpaceLayout, wiring: Wiring, named: Mapping[str, str], pools: Collection[str] | None) -> None:
    """Refuse what is wrong with a layout, and those pools of nodes that are not among the `pools` there are."""
    problems = [*layout.problems]
    for name, pool in named.items():
        if pools is not None and pool not in pools and wiring.streams(name):
            way_out = did_you_mean(pool, pools) or f"; there are {', '.join(sorted(pools))}"
            problems.append(f"{wiring.label(name)} wants the pool {pool!r}, which does not exist{way_out}")
    if problems:
        raise GraphError(merge_problems(problems))


def lay_out(wiring: Wiring) -> SpaceLayout:
    """Return the spaces of everything in the wiring, ranked, and what is wrong with them."""
    layout = place_nodes(wiring)
    _refuse_late_values(wiring, layout)
    _rank(wiring, layout)
    return layout


def _refuse_late_values(wiring: Wiring, layout: SpaceLayout) -> None:
    """Look for nodes below a scatter that take a value which is there only when that scatter has come to an end."""
    for name, place in layout.places.items():
        node = wiring.node(name)
        meeting = place.call if node is None or node.options.fold is None else place.entry
        for each in dict.fromkeys(binding.name for binding in wiring.streams(name)):
            source = layout.places[each]
            if not source.closed or source.output.depth >= meeting.depth:
                continue
            below = meeting.chain()[: meeting.depth - source.output.depth]
            late = [space for space in below if list_closed(space) & source.closed]
            if late:
                _report_late(wiring, layout, name, each, late[-1])


def _report_late(wiring: Wiring, layout: SpaceLayout, name: str, value: str, space: Space) -> None:
    """Refuse or warn of one value that comes late."""
    label, maker = wiring.label(name), wiring.label(find_base(space).node)
    if space.depth == 1:
        layout.problems.append(
            f"{label} takes items of {maker} together with {value!r}, which is there only when the last of them has "
            f"been through: every item would have to be kept; make {value!r} the result of a first run, or gather the "
            "items in this node, too"
        )
    else:
        layout.warnings.append(
            f"{label} takes children of {maker} together with {value!r}, which is there only when the last sibling "
            "has been through: all children of one item are kept until then"
        )


def _rank(wiring: Wiring, layout: SpaceLayout) -> None:
    """Rank sibling spaces: one whose subtree needs the gather or fold of another comes after it."""
    kids: dict[int, int] = {}
    for space in layout.spaces[1:]:
        if space.kind != "group" and space.parent is not None:
            kids[space.parent.number] = kids.get(space.parent.number, 0) | 1 << space.number
    needs = _find_needs(layout, kids)
    for siblings in kids.values():
        numbers = _bits(siblings)
        ranked = sort_stably(numbers, {number: _bits(needs.get(number, 0)) for number in numbers})
        for rank, number in enumerate(ranked):
            layout.spaces[number].rank = rank
            layout.spaces[number].needs = [layout.spaces[other] for other in _bits(needs.get(number, 0))]
        crossed = [layout.spaces[number] for number in numbers if number not in ranked]
        if crossed:
            labels = " and ".join(wiring.label(space.node) for space in crossed[:2])
            layout.problems.append(
                f"{labels} each need a gather or fold of the other's items before their own: neither can begin; "
                "break the circle, for example by a second run"
            )


def _find_needs(layout: SpaceLayout, kids: dict[int, int]) -> dict[int, int]:
    """Return for each space which siblings must have come to an end before something below it can be, as bits."""
    needs: dict[int, int] = {}
    for place in layout.places.values():
        for inner in (place.entry, place.output):
            for space in inner.chain()[:-1]:
                assert space.parent is not None
                base = find_base(space).number
                others = place.closed & kids[space.parent.number] & ~(1 << base)
                needs[base] = needs.get(base, 0) | others
    return needs


def _bits(mask: int) -> list[int]:
    """Return the numbers of the bits that are set, ascending."""
    numbers = []
    while mask:
        low = mask & -mask
        numbers.append(low.bit_length() - 1)
        mask ^= low
    return numbers
