"""What does not change during a run: the tables of a plan's spaces and streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from papympi.engine.index.chunks import ClosingProgress
from papympi.plan.depth import find_base
from papympi.plan.plan import Plan, Space, Step, Stream


class Watcher(Protocol):
    """A step that closes siblings: it has to see every segment of the space that it works on.

    Attributes:
        step: the step.
    """

    step: Step

    def open(self) -> ClosingProgress:
        """Return where it is with a fresh segment."""


@dataclass(eq=False, slots=True)
class SpaceTable:
    """What does not change about one space in a run.

    Attributes:
        space: the space.
        retire: is told how many items of a space have retired.
        watchers: the steps that close its siblings: gathers, groups and folds.
        groups, group_tables: group spaces over it, and their tables.
        kids: its scatter spaces by rank.
        stored: streams in it that deeper steps take by broadcast.
        holds_parent: steps below it take from above it, so an item lives as long as its children here.
        wanted: a target lies in it or below it, or in a group over it.
        walked: the ordered cursor passes over it.
        holders: number of each that holds its items, by what releases them:
            ("use", step), ("deliver", stream), ("out", stream), ("children", space).
    """

    space: Space
    retire: Callable[[Space, int], None]
    watchers: list[Watcher] = field(default_factory=list)
    groups: list[Space] = field(default_factory=list)
    group_tables: list[SpaceTable] = field(default_factory=list)
    kids: list[Space] = field(default_factory=list)
    stored: list[Stream] = field(default_factory=list)
    holds_parent: bool = False
    wanted: bool = False
    walked: bool = False
    holders: dict[object, int] = field(default_factory=dict)


class StreamTable:
    """What does not change about one stream in a run.

    Attributes:
        same: consumers in its own space: (step, number of the input, the input skips failures).
        skips: one of them skips failures.
        deeper: consumers below: (step, the spaces on the way down to it, its own included).
        delivery: holder of a target, or `None`.
        out: holder of what nobody in the space consumes and is no target, or `None`: released at once.
    """

    __slots__ = ("deeper", "delivery", "out", "same", "skips")

    def __init__(self, stream: Stream) -> None:
        self.same = [
            (step, number, step.skip_failed) for step, number in stream.consumers if step.space is stream.space
        ]
        self.skips = any(skips for _, _, skips in self.same)
        self.deeper: list[tuple[Step, list[Space]]] = []
        for step, _ in stream.consumers:
            if step.space is not stream.space:
                chain = step.space.chain()
                self.deeper.append((step, chain[: chain.index(stream.space)][::-1]))
        self.delivery = ("deliver", stream) if stream.target else None
        self.out = None if self.same or stream.target else ("out", stream)


class Layout:
    """The tables of a plan's spaces and streams.

    Args:
        plan: what runs.
        retire: is told how many items of a space have retired.
        ordered: results are handed over in input order.
    """

    def __init__(self, plan: Plan, retire: Callable[[Space, int], None], *, ordered: bool) -> None:
        self.plan = plan
        self.spaces = {space: SpaceTable(space, retire) for space in plan.spaces}
        self.streams = {stream: StreamTable(stream) for step in plan.steps for stream in step.outputs}
        self._link_spaces()
        self._link_steps()
        self._number_holders()
        for space, table in self.spaces.items():
            table.wanted = self._is_wanted(space)
            table.walked = ordered and self._is_wanted(find_base(space))

    def _is_wanted(self, space: Space) -> bool:
        return any(_reaches(space, target.space) for target in self.plan.targets)

    def _link_spaces(self) -> None:
        for space in self.plan.spaces:
            if space.over is not None:
                self.spaces[space.over].groups.append(space)
                self.spaces[space.over].group_tables.append(self.spaces[space])
            elif space.parent is not None:
                self.spaces[space.parent].kids.append(space)
        for table in self.spaces.values():
            table.kids.sort(key=lambda kid: kid.rank)

    def _link_steps(self) -> None:
        for step in self.plan.steps:
            for stream in step.inputs:
                space: Space | None = step.space
                if stream.space is not space and stream not in self.spaces[stream.space].stored:
                    self.spaces[stream.space].stored.append(stream)
                while space is not None and space is not stream.space:
                    self.spaces[space].holds_parent = True
                    space = space.parent

    def _number_holders(self) -> None:
        for stream, table in self.streams.items():
            holders = self.spaces[stream.space].holders
            for holder in (table.out, table.delivery):
                if holder is not None:
                    holders[holder] = len(holders)
        for space, space_table in self.spaces.items():
            if space.parent is not None and space_table.holds_parent:
                holders = self.spaces[space.parent].holders
                holders["children", space] = len(holders)

    def hold(self, step: Step) -> tuple[str, Step]:
        """Let a step hold the items of its space until it has used them; return the holder."""
        holders = self.spaces[step.space].holders
        holder = ("use", step)
        holders[holder] = len(holders)
        return holder


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
