"""Drawings of a graph: text for a terminal, Mermaid for Markdown, and the language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterable

from papympi.model.graph import Graph
from papympi.plan.depth import place_nodes
from papympi.plan.wiring import Wiring, wire

_MERMAID = {
    "input": ("[/", "/]"),
    "source": ("([", "])"),
    "map": ("[", "]"),
    "scatter": ("[/", "\\]"),
    "gather": ("[\\", "/]"),
    "fold": ("{{", "}}"),
}
_DOT = {
    "input": "parallelogram",
    "source": "ellipse",
    "map": "box",
    "scatter": "trapezium",
    "gather": "invtrapezium",
    "fold": "hexagon",
}


def draw_text(graph: Graph) -> str:
    """Return the graph as text: a line for each node, its edges as lines between them."""
    wiring = wire(graph)
    lanes = _Lanes(wiring)
    drawn = [(lanes.draw(name), name) for name in wiring.order]
    width = max(len(lines) for lines, _ in drawn)
    names = max(map(len, wiring.order))
    with_whom = {name: f" with {scatter}" for scatter, some in _find_whole(wiring).items() for name in some}
    told = {name: f"{_describe(wiring, name)}{with_whom.get(name, '')}".strip() for name in wiring.order}
    rows = [f"{lines.ljust(width)}  {name.ljust(names)}  {told[name]}" for lines, name in drawn]
    return "\n".join(row.rstrip() for row in rows) + "\n"


def draw_mermaid(graph: Graph) -> str:
    """Return the graph as a Mermaid flowchart."""
    wiring = wire(graph)
    ids = {name: f"n{index}" for index, name in enumerate(wiring.order)}
    lines = ["flowchart TD"]
    for name in wiring.order:
        left, right = _MERMAID[_kind(wiring, name)]
        details = _describe(wiring, name)
        text = f"{name}<br/>{details}" if details else name
        lines.append(f'    {ids[name]}{left}"{text}"{right}')
    for scatter, some in _find_whole(wiring).items():
        lines += [
            f"    subgraph {ids[scatter]}s[one stage]",
            *(f"        {ids[name]}" for name in (scatter, *some)),
            "    end",
        ]
    lines += [f"    {ids[above]} --> {ids[name]}" for name in wiring.order for above in _above(wiring, name)]
    return "\n".join(lines) + "\n"


def draw_dot(graph: Graph) -> str:
    """Return the graph in the language of Graphviz."""
    wiring = wire(graph)
    lines = ["digraph {", "    node [fontname=sans]"]
    for name in wiring.order:
        details = _describe(wiring, name)
        text = f"{name}\\n{details}" if details else name
        lines.append(f'    "{name}" [label="{text}", shape={_DOT[_kind(wiring, name)]}]')
    for number, (scatter, some) in enumerate(_find_whole(wiring).items()):
        members = " ".join(f'"{name}"' for name in (scatter, *some))
        lines.append(f'    subgraph cluster_{number} {{ label="one stage"; {members} }}')
    lines += [f'    "{above}" -> "{name}"' for name in wiring.order for above in _above(wiring, name)]
    return "\n".join([*lines, "}"]) + "\n"


def _find_whole(wiring: Wiring) -> dict[str, list[str]]:
    """Return what is evaluated with each scatter that does not spread."""
    places, nodes = place_nodes(wiring).places, wiring.graph.nodes
    openers = {
        places[name].output: name for name in wiring.bindings if name in places and not nodes[name].options.spread
    }
    members = [(openers.get(places[name].entry), name) for name in wiring.order if name in places]
    return {scatter: [name for opener, name in members if opener == scatter] for scatter in openers.values()}


def _above(wiring: Wiring, name: str) -> Iterable[str]:
    """Return who gives a node its items, each once."""
    return dict.fromkeys(binding.name for binding in wiring.streams(name))


def _kind(wiring: Wiring, name: str) -> str:
    """Return what a node or input does to the depth."""
    node = wiring.node(name)
    if node is None:
        return "input"
    if not wiring.streams(name):
        return "source"
    if node.options.fold is not None:
        return "fold"
    if node.generates:
        return "scatter"
    return "map" if node.options.gather is False else "gather"


def _describe(wiring: Wiring, name: str) -> str:
    """Return what is worth saying of a node beside its name."""
    node, kind = wiring.node(name), _kind(wiring, name)
    words = [] if kind == "map" else [kind]
    if node is not None:
        options = node.options
        if kind in {"gather", "scatter"} and options.gather is not False:
            words.append("all" if options.gather is True else f"by {options.gather}")
        if not options.spread:
            words.append("spread=False")
        if options.pool is not None:
            words.append(f"on {options.pool}")
        if options.stride is not None:
            words.append(f"stride {options.stride}")
    return " ".join(words).replace('"', "'")


class _Lanes:
    """The vertical lines of a drawing: one for each node whose items are still to be taken by some below."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.lanes: list[str | None] = []
        self.waiting = dict.fromkeys(wiring.order, 0)
        for name in wiring.order:
            for above in _above(wiring, name):
                self.waiting[above] += 1

    def draw(self, name: str) -> str:
        """Return the line of the next node, and move on."""
        lanes = self.lanes
        taken = {lanes.index(above): above for above in _above(self.wiring, name)}
        for above in taken.values():
            self.waiting[above] -= 1
        ending = {lane for lane, above in taken.items() if not self.waiting[above]}
        free = sorted(ending) or [index for index, each in enumerate(lanes) if each is None] or [len(lanes)]
        own = free[0]
        if own == len(lanes):
            lanes.append(None)
        line = self._draw_line(own, taken, ending)
        for lane in ending:
            lanes[lane] = None
        lanes[own] = name if self.waiting[name] else None
        while lanes and lanes[-1] is None:
            lanes.pop()
        return line

    def _draw_line(self, own: int, taken: Iterable[int], ending: Iterable[int]) -> str:
        """Return the lanes at the height of a node, with the edges that come to it."""
        first, last = min([own, *taken]), max([own, *taken])
        line = ""
        for lane, name in enumerate(self.lanes):
            across = first <= lane <= last
            if lane == own:
                line += "●"
            elif lane in taken:
                line += _corner(lane, first, last, ends=lane in ending)
            elif name is not None:
                line += "│"
            else:
                line += "─" if across else " "
            line += "─" if first <= lane < last else " "
        return line.rstrip()


def _corner(lane: int, first: int, last: int, *, ends: bool) -> str:
    """Return how a vertical line meets the horizontal one of a node below."""
    if lane == first:
        return "╰" if ends else "├"
    if lane == last:
        return "╯" if ends else "┤"
    return "┴" if ends else "┼"
