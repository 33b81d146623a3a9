"""Scatters whose children do not spread: with all that becomes of them they are one part, a map of the parents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from papympi.errors import GraphError
from papympi.model.node import Node
from papympi.plan.expand import Expansion, NodeSettings, Part
from papympi.plan.plan import Space, Stream, Stride
from papympi.plan.program import MOST, Inner
from papympi.plan.wiring import Wiring, merge_problems


@dataclass(slots=True)
class Enclosure:
    """The parts of a plan, after scatters that do not spread were closed.

    Attributes:
        parts: in topological order.
        owners: for each part that is in another now, that one.
        spaces: of the children that nobody outside sees.
    """

    parts: list[Part]
    owners: dict[Part, Part] = field(default_factory=dict)
    spaces: set[Space] = field(default_factory=set)


def enclose(wiring: Wiring, expansion: Expansion, settings_of: Mapping[str, NodeSettings]) -> Enclosure:
    """Return the parts of a plan; those below a scatter with `spread=False` are one with it."""
    result = Enclosure(list(expansion.parts))
    problems: list[str] = []
    for part in expansion.parts:
        if part.kind == "scatter" and not wiring.graph.nodes[part.node].options.spread:
            closing = _Closing(wiring, part, result.parts, settings_of)
            problem = closing.find_problem()
            if problem:
                node = wiring.graph.nodes[part.node]
                problems.append(f"{node.label} has spread=False, but {problem}")
                continue
            whole = closing.close()
            result.parts = closing.place(whole)
            result.owners.update(dict.fromkeys(whole.members, whole))
            result.spaces.add(part.output.space)
    if problems:
        raise GraphError(merge_problems(problems))
    return result


class _Closing:
    """What is below one scatter, and whether it can be evaluated as one."""

    def __init__(
        self, wiring: Wiring, scatter: Part, parts: list[Part], settings_of: Mapping[str, NodeSettings]
    ) -> None:
        self.wiring = wiring
        self.settings_of = settings_of
        self.scatter = scatter
        self.parts = parts
        self.space = scatter.output.space
        lists = {part.output for part in parts if part.kind == "gather" and part.space is self.space}
        self.members = [
            part
            for part in parts
            if part is scatter or part.space is self.space or any(stream in lists for stream in part.inputs)
        ]
        self.leaving = [
            part.output
            for part in self.members
            if part.output.space is scatter.space and part.output not in lists and part is not scatter
        ]
        made = {part.output for part in self.members}
        self.inputs = list(dict.fromkeys(s for part in self.members for s in part.inputs if s not in made))

    def find_problem(self) -> str:
        """Return why they cannot be one, and the way out; nothing if they can."""
        for part in self.members:
            problem = self._judge(part)
            if problem:
                return f"{self.wiring.label(part.node)} {problem}"
        if not self.leaving:
            return "nothing gathers or folds its children; leave spread=False out"
        kept = [stream.node for stream in self.leaving if self.settings_of[stream.node].checkpoint]
        if kept and len(self.leaving) > 1:
            return (
                f"the results of {kept[0]!r} are kept in a journal, and of its children come those of "
                f"{' and '.join(repr(s.node) for s in self.leaving if s.node != kept[0])}, too: what is kept is made "
                "alone; leave spread=False out, or make one node of them"
            )
        return self._find_late()

    def _judge(self, part: Part) -> str:
        """Return why one part cannot be with the scatter, and the way out; nothing if it can."""
        node, settings = self.wiring.graph.nodes[part.node], self.settings_of[part.node]
        first = self.settings_of[self.scatter.node]
        if part.kind == "group":
            what = "combine=" if node.options.combine is not None else "gather=n"
            return f"has {what}, and groups are made outside; use gather=True or fold= alone, or leave spread=False out"
        if part.kind == "scatter" and part is not self.scatter:
            return "scatters again; give spread=False to that generator alone, or let one generator make all"
        if node.awaits:
            return "is async, and many at once are awaited only outside of such a stage; leave spread=False out"
        if settings.pool != first.pool:
            return (
                f"is on the pool {settings.pool!r}, not {first.pool!r}; give them one pool, or leave spread=False out"
            )
        if settings.retried:
            return "has retries=, and to wait before an item is tried again it would have to leave; leave either out"
        return self._judge_results(part, node)

    def _judge_results(self, part: Part, node: Node) -> str:
        """Return what keeps the results of a part in its stage from staying there."""
        if not node.options.fuse:
            return "has fuse=False, which says the contrary; leave either out"
        if part.output.space is not self.space:
            return ""
        if part.node in self.wiring.targets:
            return "is a target, but its results do not leave the stage; gather or fold them, or leave spread=False out"
        if self.settings_of[part.node].checkpoint:
            return "has checkpoint=True, but its results do not leave the stage; leave either out"
        return ""

    def _find_late(self) -> str:
        """Return what is needed before all children are there, but made of all of them."""
        late = dict.fromkeys(self.leaving)
        for part in self.parts:
            if part not in self.members and any(stream in late for stream in part.inputs):
                late.update(dict.fromkeys(part.made))
        for part in self.members:
            inside = part.space is self.space
            for stream in part.inputs:
                if stream in late and (inside or stream not in self.leaving):
                    return (
                        f"{self.wiring.label(part.node)} takes {stream.node!r}, which is there only when all its "
                        "children have been through; leave spread=False out"
                    )
        return ""

    def close(self) -> Part:
        """Return the part that they are."""
        first = self.settings_of[self.scatter.node]
        chunk = _limit([p for p in self.members if p.space is self.space], MOST)
        return Part(
            kind="map",
            node=self.scatter.node,
            inputs=self.inputs,
            output=self.leaving[0],
            space=self.scatter.space,
            pool=self.scatter.pool,
            stride=_limit([p for p in self.members if p.kind == "map" and p.space is not self.space], first.stride),
            fuse=not self._has_async_neighbours(),
            checkpoint=any(self.settings_of[stream.node].checkpoint for stream in self.leaving),
            outputs=self.leaving,
            members=self.members,
            chunk=0 if chunk == "auto" or not self._is_vectorized() else chunk,
        )

    def _has_async_neighbours(self) -> bool:
        """Say whether the pool awaits other nodes: their stages are evaluated in another way."""
        nodes = self.wiring.graph.nodes
        return any(nodes[name].awaits and each.pool == self.scatter.pool for name, each in self.settings_of.items())

    def _is_vectorized(self) -> bool:
        """Say whether a map of the children has a stride that must not be exceeded."""
        return any(_asks(part) for part in self.members if part.space is self.space)

    def place(self, whole: Part) -> list[Part]:
        """Return all parts with the one in the place of its members: before everything that is made of it."""
        late = dict.fromkeys(self.leaving)
        before, after = [], []
        for part in self.parts:
            if part in self.members:
                continue
            if any(stream in late for stream in part.inputs):
                late.update(dict.fromkeys(part.made))
                after.append(part)
            else:
                before.append(part)
        return [*before, whole, *after]


def _asks(part: Part) -> bool:
    """Say whether a part is vectorized and has a stride of its own."""
    return part.call is not None and part.call.vectorized and part.stride != "auto"


def _limit(parts: Sequence[Part], most: Stride) -> Stride:
    """Return the smallest stride of vectorized parts, if it is smaller."""
    strides = [part.stride for part in parts if _asks(part) and part.stride != "auto"]
    return min([*strides, *([most] if most != "auto" else [])], default="auto")


def describe_inner(whole: Part, columns: dict[Stream, int], number: Mapping[Part, int]) -> Inner:
    """Return what a worker must know of a part that others are in.

    Args:
        whole: the part.
        columns: of its stage; those of lists are added.
        number: of the call of each of its members.
    """
    scatter = whole.members[0]
    space = scatter.output.space
    inside = [part for part in whole.members if part.space is space]
    gathers = []
    for part in inside:
        if part.kind == "gather":
            columns[part.output] = len(columns)
            gathers.append((columns[part.inputs[0]], columns[part.output]))
    own = {part.output for part in (scatter, *inside)}
    taken = dict.fromkeys(columns[stream] for part in inside for stream in part.inputs if stream not in own)
    return Inner(
        scatter=number[scatter],
        maps=tuple(number[part] for part in inside if part.kind == "map"),
        folds=tuple((number[part], part.factory) for part in inside if part.factory is not None),
        gathers=tuple(gathers),
        shared=tuple(taken),
        chunk=whole.chunk,
    )
