"""From nodes to parts: what the engine has to do for each node, before parts are fused into stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from papympi.model.node import Node
from papympi.plan.adapters import (
    AwaitedGroupFold,
    Finish,
    GroupFold,
    GroupMerge,
    Merge,
    Nothing,
    RowFold,
    UnzippedCall,
    make_row,
)
from papympi.plan.depth import NodeSpaces, SpaceLayout
from papympi.plan.plan import Space, StepKind, Stream, Stride
from papympi.plan.program import Call, OnError
from papympi.plan.taking import Taken, find_distinct, find_slots, make_argument, take
from papympi.plan.wiring import Wiring

BRANCHES = 16
"""How many items, or partial results, meet in one node of the tree of a fold with `combine`."""


@dataclass(eq=False, slots=True)
class Part:
    """One step, or the part of one that a single call is.

    Attributes:
        kind: of step.
        node: name of the node that it serves.
        inputs: distinct streams.
        output: what it makes; of a source see `outputs`.
        space: in which the inputs meet.
        call: "map", "scatter", "fold": the call, its columns numbered like `inputs`.
        factory: "fold": makes the accumulator.
        pool: of a task.
        stride: of a task.
        fuse: it may share a stage.
        checkpoint: what it makes is kept in a journal: the stage ends here, and nothing else leaves it.
        size: "group": how many.
        skip_failed: "group": failed members do not count.
        outputs: several: of a "source" all that is pulled together, of a part with members what leaves it.
        members: the parts that are this one, the scatter first, if it encloses a scatter.
        chunk: how many of the scatter's children there may be at a time; 0: any number.
    """

    kind: StepKind
    node: str
    inputs: list[Stream]
    output: Stream
    space: Space
    call: Call | None = None
    factory: Callable[[], Any] | None = None
    pool: str | None = None
    stride: Stride = "auto"
    fuse: bool = False
    checkpoint: bool = False
    size: int = 0
    skip_failed: bool = False
    outputs: list[Stream] = field(default_factory=list)
    members: list[Part] = field(default_factory=list)
    chunk: int = 0

    @property
    def made(self) -> list[Stream]:
        """All that others may take of it."""
        return self.outputs or [self.output]

    @property
    def whole(self) -> list[Part]:
        """The parts that it consists of."""
        return self.members or [self]


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What a run has decided about one node; one that is retried shares no stage, lest others be repeated."""

    pool: str
    stride: Stride
    fuse: bool
    retried: bool = False
    timed: bool = False
    checkpoint: bool = False


@dataclass(slots=True)
class Expansion:
    """The parts of a graph in topological order, and the stream of every node and input by its name."""

    parts: list[Part]
    streams: dict[str, Stream]


def expand(wiring: Wiring, layout: SpaceLayout, settings_of: Mapping[str, NodeSettings]) -> Expansion:
    """Return the parts of everything in the wiring."""
    parts: list[Part] = []
    streams: dict[str, Stream] = {}
    for row in layout.rows:
        outputs = [Stream(name, layout.places[name].output) for name in row]
        parts.append(Part("source", row[0], [], outputs[0], layout.spaces[0], outputs=outputs))
        streams.update(zip(row, outputs, strict=True))
    for name in wiring.order:
        if name in streams:
            continue
        expander = _Expander(wiring.graph.nodes[name], layout, layout.places[name], settings_of[name])
        taken = [take(wiring, streams, binding) for binding in wiring.bindings[name]]
        streams[name] = expander.expand(taken)
        parts.extend(expander.parts)
    return Expansion(parts, streams)


class _Expander:
    """Makes the parts of one node, one after the other."""

    def __init__(self, node: Node, layout: SpaceLayout, place: NodeSpaces, settings: NodeSettings) -> None:
        self.node = node
        self.layout = layout
        self.place = place
        self.settings = settings
        self.parts: list[Part] = []
        self.drops = node.options.on_error == "drop"

    def expand(self, taken: list[Taken]) -> Stream:
        """Make all parts and return the node's own output."""
        options = self.node.options
        if options.fold is not None:
            return self._fold(taken, options.fold)
        if options.gather is not False:
            return self._gather(taken)
        return self._call(self.node.function, taken)

    def _call(self, function: Callable[..., Any], taken: list[Taken]) -> Stream:
        """Make the part that calls the node's function."""
        output = Stream(self.node.name, self.place.output)
        skips = self.drops and self.node.options.gather is not False
        call = self._make_call(function, taken, self.node.options.on_error, skips=skips)
        kind: StepKind = "scatter" if self.node.generates else "map"
        return self._task(kind, taken, output, self.place.call, call)

    def _gather(self, taken: list[Taken]) -> Stream:
        """Make the parts of a node that takes lists."""
        deep = [each for each in taken if each.stream is not None and each.stream.space is self.place.entry]
        streams = find_distinct(deep)
        rest = [each for each in taken if each not in deep]
        stream = streams[0] if len(streams) == 1 else self._zip(streams)
        gathered = self._close(stream)
        if len(streams) == 1:
            taken = [Taken(each.place, gathered) if each in deep else each for each in taken]
            return self._call(self.node.function, taken)
        slots = find_slots(deep, streams)
        function = UnzippedCall(self.node.function, slots, len(streams), self.node.options.vectorized)
        return self._call(function, [Taken(-1, gathered), *rest])

    def _close(self, stream: Stream) -> Stream:
        """Make the part that gathers or groups a stream."""
        if self.node.options.gather is True:
            output = self._inner("gather", self.place.call)
            self.parts.append(Part("gather", self.node.name, [stream], output, self.place.entry))
            return output
        return self._group(stream, "group", int(self.node.options.gather), self.place.call, skips=self.drops)

    def _group(self, stream: Stream, label: str, size: int, space: Space, *, skips: bool) -> Stream:
        """Make the part that groups a stream by `size`."""
        output = self._inner(label, space)
        self.parts.append(Part("group", self.node.name, [stream], output, stream.space, size=size, skip_failed=skips))
        return output

    def _zip(self, streams: list[Stream]) -> Stream:
        """Make the part that makes rows of several streams of the entry space, or of lesser depth."""
        output = self._inner("rows", self.place.entry)
        taken = [Taken(index, stream) for index, stream in enumerate(streams)]
        return self._task("map", taken, output, self.place.entry, self._make_call(make_row, taken))

    def _fold(self, taken: list[Taken], factory: Callable[[], Any]) -> Stream:
        """Make the parts of a fold."""
        carried = [each for each in taken if each.stream is not None]
        streams = find_distinct(carried)
        function = self.node.function
        if len(carried) > 1 or (self.node.options.combine is not None and carried[0].place != 0):
            stream = self._zip(streams)
            function = RowFold(function, find_slots(carried, streams))
            taken = [Taken(0, stream), *(each for each in taken if each.stream is None)]
        if self.node.options.combine is None:
            call = self._make_call(function, taken, self.node.options.on_error, skips=self.drops)
            output = Stream(self.node.name, self.place.output)
            return self._task("fold", taken, output, self.place.entry, call, factory=factory)
        return self._combine(taken, function, factory, self.node.options.combine)

    def _combine(
        self, taken: list[Taken], function: Callable[..., Any], factory: Callable[[], Any], combine: Callable[..., Any]
    ) -> Stream:
        """Make the tree of a fold with `combine`. It is the same tree whatever the stride.

        A function of `on_error` heals the part of the tree that failed; "drop" drops the result if any part did.
        """
        stream = find_distinct(taken)[0]
        assert self.place.entry.parent is not None
        space = self.layout.open("group", self.place.entry.parent, self.node.name, self.place.entry)
        stream = self._group(stream, "items", BRANCHES, space, skips=self.drops)
        taken = [Taken(each.place, stream) if each.stream is not None else each for each in taken]
        on_error: OnError = self.node.options.on_error if callable(self.node.options.on_error) else "fail"
        fold = AwaitedGroupFold if self.node.awaits else GroupFold
        leaf = self._make_call(fold(function, factory), taken, on_error, skips=self.drops, grouped=BRANCHES)
        stream = self._task("map", taken, self._inner("leaf", space), space, leaf, BRANCHES)
        space = self.layout.open("group", self.place.entry.parent, self.node.name, space)
        stream = self._group(stream, "partials", BRANCHES, space, skips=False)
        taken = [Taken(0, stream)]
        merge = self._make_call(GroupMerge(combine), taken, on_error, grouped=BRANCHES)
        stream = self._task("map", taken, self._inner("merge", space), space, merge, BRANCHES * BRANCHES)
        taken = [Taken(0, stream)]
        trunk = self._make_call(Merge(combine), taken, on_error)
        output = self._inner("trunk", self.place.output)
        stream = self._task("fold", taken, output, space, trunk, BRANCHES * BRANCHES, factory=Nothing)
        taken = [Taken(0, stream)]
        root = self._make_call(Finish(factory), taken, self.node.options.on_error)
        return self._task("map", taken, Stream(self.node.name, self.place.output), self.place.output, root)

    def _task(
        self,
        kind: StepKind,
        taken: list[Taken],
        output: Stream,
        space: Space,
        call: Call,
        grouped: int = 1,
        *,
        factory: Callable[[], Any] | None = None,
    ) -> Stream:
        """Make a part that a pool evaluates; each of its positions stands for `grouped` items."""
        stride = self.settings.stride
        self.parts.append(
            Part(
                kind=kind,
                node=self.node.name,
                inputs=find_distinct(taken),
                output=output,
                space=space,
                call=call,
                factory=factory,
                pool=self.settings.pool,
                stride=stride if stride == "auto" else max(1, stride // grouped),
                fuse=self.settings.fuse and not self.settings.retried and kind == "map",
                checkpoint=self.settings.checkpoint and not output.inner,
            )
        )
        return output

    def _inner(self, label: str, space: Space) -> Stream:
        """Return a stream between two parts of the node."""
        return Stream(f"{self.node.name}[{label}]", space, inner=True)

    def _make_call(
        self,
        function: Callable[..., Any],
        taken: list[Taken],
        on_error: OnError = "fail",
        *,
        skips: bool = False,
        grouped: int = 1,
    ) -> Call:
        """Return the call of a part, which has time for `grouped` items; its columns are the distinct streams."""
        options, own = self.node.options, function is not make_row
        joins = isinstance(function, GroupMerge | Merge | Finish)
        streams = find_distinct(taken)
        positional = [each for each in taken if isinstance(each.place, int)]
        named = [each for each in taken if isinstance(each.place, str)]
        return Call(
            node=self.node.name,
            function=function,
            arguments=tuple(make_argument(each, streams) for each in [*positional, *named]),
            vectorized=options.vectorized and own,
            on_error=on_error,
            skip_failed=skips,
            timeout=options.timeout * grouped if options.timeout and own else None,
            retries=options.retries if own else 0,
            retry_on=options.retry_on if isinstance(options.retry_on, tuple) else (options.retry_on,),
            backoff=options.backoff,
            awaits=self.node.awaits and own and not joins,
            level=self.place.entry.depth if skips or isinstance(function, Finish) else 0,
            depth=self.place.output.depth if isinstance(function, GroupFold | GroupMerge | Merge) else None,
            counts="members" if isinstance(function, GroupFold) else "items" if own and not joins else "nothing",
        )
