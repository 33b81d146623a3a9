"""What does not change during a run: the tables of a plan's spaces and streams."""

from __future__ import annotations

from dataclasses import dataclass, field

from papympi.plan.plan import Plan, Space, Step, Stream


@dataclass(eq=False, slots=True)
class SpaceTable:
    """What does not change about one space in a run.

    Attributes:
        space: the space.
        watchers: gather, group and fold steps over it.
        groups: group spaces over it.
        kids: its scatter spaces by rank.
        stored: streams in it that deeper steps take by broadcast.
        holds_parent: steps below it take from above it, so an item lives as long as its children here.
        walked: the ordered cursor passes over it.
        exits: number of each exit, by what has to happen there.
    """

    space: Space
    watchers: list[Step] = field(default_factory=list)
    groups: list[Space] = field(default_factory=list)
    kids: list[Space] = field(default_factory=list)
    stored: list[Stream] = field(default_factory=list)
    holds_parent: bool = False
    walked: bool = False
    exits: dict[object, int] = field(default_factory=dict)


class StreamTable:
    """What does not change about one stream in a run.

    Attributes:
        same: consumers in its own space: (step, number of the input, the input skips failures).
        deeper: consumers below: (step, the spaces on the way down to it, its own included).
        out: exit of those that nobody in the space consumes and that are no target, or `None`.
        delivery: exit of a target, or `None`.
    """

    __slots__ = ("deeper", "delivery", "out", "same")

    def __init__(self, stream: Stream) -> None:
        self.same = [
            (step, number, step.skip_failed) for step, number in stream.consumers if step.space is stream.space
        ]
        self.deeper: list[tuple[Step, list[Space]]] = []
        for step, _ in stream.consumers:
            if step.space is not stream.space:
                chain = step.space.chain()
                self.deeper.append((step, chain[: chain.index(stream.space)][::-1]))
        self.delivery = ("deliver", stream) if stream.target else None
        self.out = None if self.same or stream.target else ("out", stream)


class Layout:
    """The tables of a plan's spaces and streams."""

    def __init__(self, plan: Plan, *, ordered: bool) -> None:
        self.plan = plan
        self.tables = {space: SpaceTable(space) for space in plan.spaces}
        self.streams = {stream: StreamTable(stream) for step in plan.steps for stream in step.outputs}
        self._link_spaces()
        self._link_steps()
        self._number_exits()
        for space, table in self.tables.items():
            table.walked = ordered and self.wanted(origin(space))

    def __getitem__(self, space: Space) -> SpaceTable:
        return self.tables[space]

    def wanted(self, space: Space) -> bool:
        """Return whether a target lies in or below a space, or in a group over it."""
        return any(_reaches(space, target.space) for target in self.plan.targets)

    def _link_spaces(self) -> None:
        for space in self.plan.spaces:
            if space.over is not None:
                self.tables[space.over].groups.append(space)
            elif space.parent is not None:
                self.tables[space.parent].kids.append(space)
        for table in self.tables.values():
            table.kids.sort(key=lambda kid: kid.rank)

    def _link_steps(self) -> None:
        for step in self.plan.steps:
            if step.kind in {"gather", "group", "fold"}:
                self.tables[step.space].watchers.append(step)
            for stream in step.inputs:
                space: Space | None = step.space
                if stream.space is not space and stream not in self.tables[stream.space].stored:
                    self.tables[stream.space].stored.append(stream)
                while space is not None and space is not stream.space:
                    self.tables[space].holds_parent = True
                    space = space.parent

    def _number_exits(self) -> None:
        for stream, table in self.streams.items():
            exits = self.tables[stream.space].exits
            for exit_ in (table.out, table.delivery):
                if exit_ is not None:
                    exits[exit_] = len(exits)
        for step in self.plan.steps:
            if step.kind != "map":
                exits = self.tables[step.space].exits
                exits["use", step] = len(exits)
        for space, space_table in self.tables.items():
            if space.parent is not None and space_table.holds_parent:
                exits = self.tables[space.parent].exits
                exits["children", space] = len(exits)


def origin(space: Space) -> Space:
    """Return the scatter, source or unit space that a chain of groupings began with."""
    while space.over is not None:
        space = space.over
    return space


def _reaches(space: Space, below: Space) -> bool:
    """Return whether `below` is in the subtree of a space, through children or through groups over it."""
    todo: list[Space] = [below]
    while todo:
        current: Space | None = todo.pop()
        while current is not None:
            if current is space:
                return True
            if current.over is not None:
                todo.append(current.over)
            current = current.parent
    return False
