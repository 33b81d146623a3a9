"""Fusion: which parts are evaluated in one call on a worker, so that nothing but speed tells.

A stage takes an item only when all of its inputs are there. So parts may share one only if each of them would be
called for exactly the same items alone: no input that another part brings along may have been dropped where the part's
own inputs are there. And the graph of stages must stay without cycles. Both are decided in one walk from the sources
on: a part joins all those groups of parts above it that satisfy both, which is the largest such choice.

- Presence: `Fusion.implied[stream]` are the streams, as bits, that must be there where the stream is. A stage's inputs
  must all be implied by the inputs of each of its parts.
- Levels: every edge between two groups leads to a higher level, so no cycle is possible. A group without other
  consumers may be lifted to the level of the part that joins it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from papympi.plan.depth import find_base
from papympi.plan.expand import Part
from papympi.plan.plan import Stream


@dataclass(eq=False, slots=True)
class FusedGroup:
    """Parts that become one step.

    Attributes:
        parts: in topological order.
        inputs: streams from other groups, each once, in the order of their first use.
        level: higher than that of every group that gives it something.
        common: streams that are there whenever any of the parts is called, as bits: what the inputs of its first part
            imply. Since all inputs are implied by those of each part, it is the same whichever came first.
        leads_out: some part outside takes something of it.
        made: what must be there where any of its streams is, as bits.
        taken: how often parts outside take something of it, those that are not in a group yet included.
    """

    parts: list[Part]
    inputs: dict[Stream, None]
    level: int
    common: int
    leads_out: bool = False
    made: int = 0
    taken: int = 0


@dataclass(slots=True)
class Fusion:
    """How parts are grouped, and why they are not.

    Attributes:
        groups: the group of each part.
        makers: the part that makes each stream.
        implied: for each stream those that must be there where it is, as bits.
        refusals: why the producer and the consumer of two adjacent maps are not together.
        users: the parts that take each stream.
        problems: what keeps a part with members from being evaluated at all.
    """

    groups: dict[Part, FusedGroup] = field(default_factory=dict)
    makers: dict[Stream, Part] = field(default_factory=dict)
    implied: dict[Stream, int] = field(default_factory=dict)
    refusals: dict[tuple[Part, Part], str] = field(default_factory=dict)
    users: dict[Stream, set[Part]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def list_groups(self) -> list[FusedGroup]:
        """Return the groups in topological order."""
        place = {part: index for index, part in enumerate(self.groups)}
        groups = list(dict.fromkeys(self.groups.values()))
        for group in groups:
            group.parts.sort(key=place.__getitem__)
        return sorted(groups, key=lambda group: (group.level, place[group.parts[0]]))


def fuse(parts: list[Part], *, fusion: bool) -> Fusion:
    """Group the parts, which are in topological order; with `fusion` off each stays alone."""
    result = Fusion()
    opened: dict[int, int] = {}
    for part in parts:
        for stream in part.inputs:
            result.users.setdefault(stream, set()).add(part)
    for part in parts:
        needs = 0
        for stream in part.whole[0].inputs:
            needs |= result.implied[stream]
        for stream in part.made:
            result.makers[stream] = part
            result.implied[stream] = _imply(part, stream, needs, 1 << len(result.implied), opened)
        chosen = _choose(part, needs, result) if fusion and part.fuse else []
        _check_whole(part, needs, chosen, result)
        _join(part, needs, chosen, result)
    return result


def _imply(part: Part, stream: Stream, needs: int, own: int, opened: dict[int, int]) -> int:
    """Return the streams that must be there where this one is; `opened` has the same of the items of each space."""
    if part.kind == "source":
        opened[stream.space.number] = 0
        return 0
    if part.kind == "map":
        return own | needs
    if part.kind == "scatter":
        opened[stream.space.number] = needs
        return own | needs
    parents = opened[find_base(part.space).number]
    return parents if part.kind == "gather" else own | parents


def _check_whole(part: Part, needs: int, chosen: list[FusedGroup], fusion: Fusion) -> None:
    """Look whether a part with members would be called for all that its scatter would be called for alone."""
    if not part.members:
        return
    for stream in _merge_inputs(part, chosen, fusion):
        if fusion.implied[stream] & ~needs:
            taker = next(each for each in part.members if stream in each.inputs)
            fusion.problems.append(
                f"node {part.node!r} has spread=False, but {taker.node!r} takes {stream.node!r}, which may be dropped "
                f"where the items of {part.node!r} are not; let {part.node!r} take it, too, or leave spread=False out"
            )


def _choose(part: Part, needs: int, fusion: Fusion) -> list[FusedGroup]:
    """Return the groups that the part can join, all at once; `needs` is what its first call implies, as bits."""
    makers = [fusion.makers[stream] for stream in part.inputs]
    chosen = list(dict.fromkeys(fusion.groups[maker] for maker in makers if _matches(maker, part)))
    while chosen:
        inputs = _merge_inputs(part, chosen, fusion)
        level = _find_level(part, chosen, fusion)
        for group in chosen:
            reason = _find_obstacle(part, group, inputs, level, fusion) or _find_drop(part, needs, inputs, fusion)
            if reason:
                chosen.remove(group)
                fusion.refusals.update(((maker, part), reason) for maker in makers if fusion.groups[maker] is group)
                break
        else:
            break
    return chosen


def _matches(maker: Part, part: Part) -> bool:
    """Say whether two parts could share a stage by their own properties."""
    alike = maker.space is part.space and maker.pool == part.pool and maker.stride == part.stride
    alike = alike and _is_timed(maker) == _is_timed(part)
    return alike and maker.fuse and not maker.checkpoint and maker.kind == part.kind == "map"


def _is_timed(part: Part) -> bool:
    """Say whether a part has a time-out: a batch of a stage that mixes such parts with others has no last moment.

    Neither has one with members, since nobody knows how many children there will be.
    """
    return part.call is not None and part.call.timeout is not None


def _merge_inputs(part: Part, chosen: list[FusedGroup], fusion: Fusion) -> dict[Stream, None]:
    """Return the inputs of the group that the part and the chosen groups would be."""
    inputs: dict[Stream, None] = {}
    for some in (*(group.inputs for group in chosen), part.inputs):
        inputs.update((stream, None) for stream in some if fusion.groups[fusion.makers[stream]] not in chosen)
    return inputs


def _find_level(part: Part, chosen: list[FusedGroup], fusion: Fusion) -> int:
    """Return the level of the group that the part and the chosen groups would be."""
    level = max((group.level for group in chosen), default=0)
    for stream in part.inputs:
        above = fusion.groups[fusion.makers[stream]]
        if above not in chosen:
            level = max(level, above.level + 1)
    return level


def _find_obstacle(part: Part, group: FusedGroup, inputs: dict[Stream, None], level: int, fusion: Fusion) -> str:
    """Return why the part cannot join the group if these are the inputs, or nothing if it can."""
    if part.checkpoint and group.taken > _count_taken(part, group, fusion):
        return "checkpoint: its stage makes nothing else"
    for stream in inputs:
        if fusion.implied[stream] & ~group.common:
            if group.made & ~group.common & fusion.implied[stream]:
                return f"fusing would make a cycle of stages through {stream.node!r}"
            return f"what {stream.node!r} drops must not keep {group.parts[0].node!r} from being called"
    if group.level < level and group.leads_out:
        return f"{part.node!r} also waits for a later stage"
    return ""


def _find_drop(part: Part, needs: int, inputs: dict[Stream, None], fusion: Fusion) -> str:
    """Return what could keep the scatter of a part from being called that would be called alone, or nothing."""
    drops = [stream.node for stream in inputs if part.members and fusion.implied[stream] & ~needs]
    return f"what {drops[0]!r} drops must not keep {part.node!r} from being called" if drops else ""


def _join(part: Part, needs: int, chosen: list[FusedGroup], fusion: Fusion) -> None:
    """Make the part and the chosen groups one."""
    level = _find_level(part, chosen, fusion)
    inputs = _merge_inputs(part, chosen, fusion)
    if chosen:
        group, *others = sorted(chosen, key=lambda each: -len(each.parts))
        for other in others:
            _merge(group, other, fusion)
        group.parts.append(part)
        group.level, group.inputs = level, inputs
    else:
        group = FusedGroup([part], inputs, level, needs)
    group.taken += sum(len(fusion.users.get(stream, ())) for stream in part.made) - _count_taken(part, group, fusion)
    for stream in part.made:
        group.made |= fusion.implied[stream]
    fusion.groups[part] = group
    for stream in part.inputs:
        above = fusion.groups[fusion.makers[stream]]
        above.leads_out |= above is not group


def _merge(group: FusedGroup, other: FusedGroup, fusion: Fusion) -> None:
    """Take the parts of another group, which has no more, into a group."""
    for part in other.parts:
        users = (user for stream in part.made for user in fusion.users.get(stream, ()))
        inside = sum(fusion.groups.get(user) is group for user in users)
        group.taken -= inside + _count_taken(part, group, fusion)
    group.taken += other.taken
    group.parts.extend(other.parts)
    group.leads_out |= other.leads_out
    group.made |= other.made
    fusion.groups.update(dict.fromkeys(other.parts, group))


def _count_taken(part: Part, group: FusedGroup, fusion: Fusion) -> int:
    """Return how many streams a part takes from a group."""
    return sum(fusion.groups.get(fusion.makers[stream]) is group for stream in part.inputs)
