"""The algebra of scatter and gather: in which space every node takes its items, is called, and gives its results."""

from __future__ import annotations

from dataclasses import dataclass, field

from papympi.plan.plan import Space
from papympi.plan.wiring import Wiring


@dataclass(frozen=True, slots=True)
class NodeSpaces:
    """Where one node works.

    Attributes:
        entry: in which its inputs meet: the deepest of theirs.
        call: in which its function is called.
        output: in which its results live.
        closed: spaces that must have come to an end for a result to be there, as bits by number.
    """

    entry: Space
    call: Space
    output: Space
    closed: int


@dataclass(slots=True)
class SpaceLayout:
    """The spaces of a graph.

    Attributes:
        spaces: the unit space first, parents before children.
        places: by name of node or input.
        rows: the sources, those whose items meet by position together.
        problems: what cannot be, with places and ways out.
        warnings: what can be but is dear.
    """

    spaces: list[Space] = field(default_factory=lambda: [Space(0, "unit")])
    places: dict[str, NodeSpaces] = field(default_factory=dict)
    rows: list[tuple[str, ...]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def open(self, kind: str, parent: Space, node: str, over: Space | None = None) -> Space:
        """Return a new space."""
        assert kind in {"source", "scatter", "group"}
        space = Space(len(self.spaces), kind, parent, over, node)  # type: ignore[arg-type]  # the assertion says so
        self.spaces.append(space)
        return space


def find_base(space: Space) -> Space:
    """Return the space whose items a group space groups in the end; any other space is its own."""
    while space.over is not None:
        space = space.over
    return space


def place_nodes(wiring: Wiring) -> SpaceLayout:
    """Return the spaces of everything in the wiring, without ranks, and joins that cannot be."""
    alone = {name: name for name in wiring.order if not wiring.streams(name)}
    draft = _Draft(wiring, alone)
    draft.place_all()
    if draft.meetings:
        draft = _Draft(wiring, _unite(alone, draft.meetings))
        draft.place_all()
    return draft.layout


def list_closed(space: Space) -> int:
    """Return the spaces that come to an end when a gather or fold closes one, as bits by number."""
    bits = 0
    closing: Space | None = space
    while closing is not None:
        bits |= 1 << closing.number
        closing = closing.over
    return bits


class _Draft:
    """One walk over the nodes, from the sources on, that gives each its place."""

    def __init__(self, wiring: Wiring, leaders: dict[str, str]) -> None:
        self.wiring = wiring
        self.layout = SpaceLayout()
        self.meetings: list[tuple[str, str]] = []
        rows: dict[str, list[str]] = {}
        for name, leader in leaders.items():
            rows.setdefault(leader, []).append(name)
        unit = self.layout.spaces[0]
        for row in rows.values():
            self.layout.rows.append(tuple(row))
            space = self.layout.open("source", unit, row[0])
            self.layout.places.update((name, NodeSpaces(unit, unit, space, 0)) for name in row)

    def place_all(self) -> None:
        """Give every node its place; those below a node that cannot have one get none."""
        places = self.layout.places
        for name in self.wiring.order:
            above = [each.name for each in self.wiring.streams(name)]
            if name in places:
                self._refuse_source_options(name)
            elif all(each in places for each in above):
                place = self._place(name, above)
                if place is not None:
                    places[name] = place

    def _place(self, name: str, above: list[str]) -> NodeSpaces | None:
        """Return the place of a node with inputs."""
        places = self.layout.places
        entry = max((places[each].output for each in above), key=lambda space: space.depth)
        if not self._meet(name, above, entry):
            return None
        node = self.wiring.graph.nodes[name]
        closed = 0
        for each in above:
            closed |= places[each].closed
        call = entry
        if node.options.fold is not None or node.options.gather is not False:
            if entry.parent is None:
                what = "fold" if node.options.fold is not None else "gather"
                self.layout.problems.append(
                    f"{node.label} has {what}=, but all that it takes is one value for the whole run "
                    f"({', '.join(map(repr, dict.fromkeys(above)))}); leave {what}= out"
                )
                return None
            if node.options.gather is True or node.options.fold is not None:
                call = entry.parent
                closed |= list_closed(entry)
            else:
                call = self.layout.open("group", entry.parent, name, entry)
        output = self.layout.open("scatter", call, name) if node.generates else call
        return NodeSpaces(entry, call, output, closed)

    def _meet(self, name: str, above: list[str], entry: Space) -> bool:
        """Say whether all inputs of a node are on one chain; note sources that it aligns."""
        places = self.layout.places
        chain = entry.chain()
        deepest = next(each for each in above if places[each].output is entry)
        tops = [places[each].output.chain()[-2:][0] for each in above]  # right below the unit space, or that itself
        roots = {space.node: None for space in tops if space.kind == "source"}
        first, *others = [*roots, ""]
        self.meetings.extend((first, other) for other in others if other)
        strangers = [each for each in above if places[each].output not in chain]
        for each in strangers:
            self.layout.problems.append(self._describe_strangers(name, deepest, each))
        return not strangers or bool(others[:-1])

    def _describe_strangers(self, name: str, one: str, other: str) -> str:
        """Return the message about a join of items that have nothing to do with each other."""
        label = self.wiring.label(name)
        return (
            f"{label} joins {self._describe_origin(one)} with {self._describe_origin(other)}: their items do not "
            "belong to each other one by one; gather one of them first (gather=True), or make both in one generator "
            "that yields pairs"
        )

    def _describe_origin(self, name: str) -> str:
        """Return what items a node gives, and who made them many."""
        space = self.layout.places[name].output
        if space.kind == "unit":
            return f"{name!r} (one value for the whole run)"
        verb = {"source": "items of", "scatter": "scattered by", "group": "grouped by"}[space.kind]
        return f"{name!r} ({verb} {self.wiring.label(space.node)})"

    def _refuse_source_options(self, name: str) -> None:
        """Refuse options that make no sense where nothing comes in."""
        node = self.wiring.node(name)
        if node is None:
            return
        options = node.options
        asked = {
            "gather": options.gather is not False,
            "fold": options.fold is not None,
            "vectorized": options.vectorized,
            "spread": not options.spread,
        }
        wrong = [option for option, is_there in asked.items() if is_there]
        if wrong:
            self.layout.problems.append(
                f"{node.label} has {wrong[0]}=, but nothing comes in: no parameter names a node or an input; "
                f"add one, or leave {wrong[0]}= out"
            )


def _unite(alone: dict[str, str], meetings: list[tuple[str, str]]) -> dict[str, str]:
    """Return for each source the first of those whose items meet its own."""
    leaders = dict(alone)
    place = {name: index for index, name in enumerate(alone)}

    def find(name: str) -> str:
        while leaders[name] != name:
            leaders[name] = leaders[leaders[name]]
            name = leaders[name]
        return name

    for one, other in meetings:
        first, second = sorted((find(one), find(other)), key=place.__getitem__)
        leaders[second] = first
    return {name: find(name) for name in alone}
