"""A graph compiled for one run: what the engine is given and what `papympi plan` prints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from papympi.plan.program import Call, Program

SpaceKind = Literal["unit", "source", "scatter", "group"]
StepKind = Literal["source", "map", "scatter", "fold", "gather", "group"]
Stride = int | Literal["auto"]


@dataclass(eq=False, slots=True)
class Space:
    """An index space of keys. The unit space holds the one key `()`.

    Attributes:
        number: position in `Plan.spaces`; the unit space is 0.
        kind: what its positions are children of.
        parent: the space one level up; `None` for the unit space.
        over: of a group space, the space whose siblings it groups (it has the same parent).
        node: name of the node that opens it, for messages.
        rank: place among the child spaces (not group spaces) of its parent: a space whose subtree needs the gather or
            fold of another comes after it.
        needs: siblings that must have come to their end before something below it can be.
    """

    number: int
    kind: SpaceKind
    parent: Space | None = None
    over: Space | None = None
    node: str = ""
    rank: int = 0
    needs: list[Space] = field(default_factory=list)

    @property
    def depth(self) -> int:
        """Length of its keys."""
        return len(self.chain()) - 1

    def chain(self) -> list[Space]:
        """Return the space and its ancestors, the unit space last."""
        chain: list[Space] = []
        space: Space | None = self
        while space is not None:
            chain.append(space)
            space = space.parent
        return chain

    def __repr__(self) -> str:
        return f"Space({self.number}, {self.kind}, depth {self.depth})"


@dataclass(eq=False, slots=True)
class Stream:
    """One output of a step: the items of one node on their way to whoever wants them.

    Attributes:
        node: the node's name.
        space: where its keys live.
        consumers: (step, number of that step's input).
        target: the run delivers it.
        inner: made on the way inside of one node (gathered lists, rows of several inputs, partial folds): `node` is
            then a label like `mosaic[gather]`, and the items are not the node's results.
        checkpoint: a journal keeps its items, so that what is above them need not be computed again.
    """

    node: str
    space: Space
    consumers: list[tuple[Step, int]] = field(default_factory=list)
    target: bool = False
    inner: bool = False
    checkpoint: bool = False

    @property
    def is_kept(self) -> bool:
        """Whether a journal keeps its items."""
        return self.target or self.checkpoint

    def __repr__(self) -> str:
        return f"Stream({self.node!r}, {self.space!r})"


@dataclass(eq=False, slots=True)
class Step:
    """One thing that the engine does. Map, scatter and fold are tasks for a pool; the others it does itself.

    Attributes:
        number: position in `Plan.steps`, which is a topological order; also the stage's number in the program.
        kind: "source": pull a row from the iterators of all its outputs (several outputs are aligned inputs);
            "map", "scatter", "fold": a task; "gather": close the innermost scatter, no task;
            "group": groups of `size` consecutive siblings, no task.
        nodes: names of the nodes whose functions it calls, else of the one that it serves; never empty. Only a node
            that gathers or folds is in several steps; its results come out of one.
        inputs: streams it takes, in the order of its columns. Sources have none; scatter and map at least one;
            gather, group and fold exactly one.
        outputs: streams it makes. Several for "source" and "map"; else one.
        space: in which its inputs meet (the deepest of theirs; the unit space for a source).
        pool: name of the pool; `None` unless it is a task.
        stride: largest number of items in a batch, or "auto".
        size: "group": the number of members.
        skip_failed: "group": failed members are dropped before groups are cut.
        level: longest path from a source; the deepest goes first.
    """

    number: int
    kind: StepKind
    nodes: tuple[str, ...]
    inputs: list[Stream]
    outputs: list[Stream]
    space: Space
    pool: str | None = None
    stride: Stride = "auto"
    size: int = 0
    skip_failed: bool = False
    level: int = 0

    @property
    def is_source(self) -> bool:
        """Whether it makes the rows of the run: it takes nothing."""
        return self.kind == "source"

    @property
    def is_producer(self) -> bool:
        """Whether it makes new items out of one: a source or a scatter. Nothing else does."""
        return self.kind in {"source", "scatter"}

    @property
    def closes(self) -> bool:
        """Whether it makes one result of all siblings: a gather or a fold."""
        return self.kind in {"gather", "fold"}

    @property
    def is_group(self) -> bool:
        """Whether it makes one item of `size` siblings."""
        return self.kind == "group"

    def __repr__(self) -> str:
        return f"Step({self.number}, {self.kind}, {'+'.join(self.nodes)})"


@dataclass(frozen=True, slots=True)
class Boundary:
    """Why two nodes are not in one stage: `producer` and `consumer` are node names, `reason` is one clause."""

    producer: str
    consumer: str
    reason: str


@dataclass(eq=False, slots=True)
class Plan:
    """A graph compiled for one run.

    Attributes:
        steps: in topological order; `steps[i].number == i`.
        spaces: `spaces[0]` is the unit space; parents before children, a grouped space before its groups.
        targets: the streams that the run delivers, in the order asked for.
        sources: names of the inputs and source nodes, in the order of the outputs of the source steps.
        origins: the call that makes the rows of each source node, by name; those that the caller gives are not in it.
            Its only arguments are resources.
        program: what the workers must know; `program.stages[step.number]` for every step that is a task.
        boundaries: why stages end where they do.
        warnings: what is dear about it.
    """

    steps: list[Step]
    spaces: list[Space]
    targets: list[Stream]
    sources: tuple[str, ...]
    program: Program
    origins: dict[str, Call] = field(default_factory=dict)
    boundaries: tuple[Boundary, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def pools(self) -> tuple[str, ...]:
        """Names of the pools it needs, sorted."""
        return tuple(sorted({step.pool for step in self.steps if step.pool is not None}))
