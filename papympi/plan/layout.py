"""The spaces of a graph laid out for a run: what must come to an end before what, and what can therefore not be."""

from __future__ import annotations

import heapq

from papympi.plan.depth import SpaceLayout, find_base, list_closed, place_nodes
from papympi.plan.plan import Space
from papympi.plan.wiring import Wiring


def lay_out(wiring: Wiring) -> SpaceLayout:
    """Return the spaces of everything in the wiring, ranked, and what is wrong with them."""
    layout = place_nodes(wiring)
    _refuse_late_values(wiring, layout)
    _rank(wiring, layout)
    return layout


def _refuse_late_values(wiring: Wiring, layout: SpaceLayout) -> None:
    """Look for nodes below a scatter that take a value which is there only when that scatter has come to an end."""
    for name, place in layout.places.items():
        meeting = place.entry if name in wiring.bindings and _folds(wiring, name) else place.call
        for each in dict.fromkeys(binding.name for binding in wiring.streams(name)):
            source = layout.places[each]
            if not source.closed or source.output.depth >= meeting.depth:
                continue
            below = meeting.chain()[: meeting.depth - source.output.depth]
            late = [space for space in below if list_closed(space) & source.closed]
            if late:
                _report_late(wiring, layout, name, each, late[-1])


def _folds(wiring: Wiring, name: str) -> bool:
    """Say whether a node is a fold."""
    return wiring.graph.nodes[name].options.fold is not None


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
        ranked = _rank_siblings(_bits(siblings), needs)
        for rank, number in enumerate(ranked):
            layout.spaces[number].rank = rank
        crossed = [layout.spaces[number] for number in _bits(siblings) if number not in ranked]
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


def _rank_siblings(siblings: list[int], needs: dict[int, int]) -> list[int]:
    """Return the siblings in an order in which each comes after those that it needs; without those in a circle."""
    above = {number: _bits(needs.get(number, 0)) for number in siblings}
    below: dict[int, list[int]] = {number: [] for number in siblings}
    for number, some in above.items():
        for each in some:
            below[each].append(number)
    ready = [number for number in siblings if not above[number]]
    missing = {number: len(some) for number, some in above.items()}
    ranked: list[int] = []
    while ready:
        number = heapq.heappop(ready)
        ranked.append(number)
        for each in below[number]:
            missing[each] -= 1
            if not missing[each]:
                heapq.heappush(ready, each)
    return ranked


def _bits(mask: int) -> list[int]:
    """Return the numbers of the bits that are set, ascending."""
    numbers = []
    while mask:
        low = mask & -mask
        numbers.append(low.bit_length() - 1)
        mask ^= low
    return numbers
