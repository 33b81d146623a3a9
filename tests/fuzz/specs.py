"""What a case is made of: nodes as data, pools, targets and the steps in which it is played; nothing here runs."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


@dataclass(slots=True, kw_only=True)
class Spec:
    """One node, or one input, as data; whatever is not said is as plain as can be.

    Attributes:
        kind: input, source, map, scatter, gather, group or fold.
        row: of inputs and sources: those of one row are aligned.
        size: how many items an input has; how many members a group has.
        fail: one in so many items fails; 0: none.
        drop: one in so many is dropped.
        trouble: how an item fails.
        early: a scatter fails before its first child instead of midway.
        fan: the most children of one item, but for one in seventeen, which has twenty times as many.
        big: how many bytes one in three results has.
        odd: results are lists, dicts, exceptions, arrays ...
        own: the inputs whose values the function changes; what siblings share is none of them.
        listed: the accumulator of a fold is a list, which is changed in place.
        stumbles: items fail a few times before they go well.
        stumble: how they fail then.
        resource: what the function takes besides: nothing, or a resource that is good, yields or raises.
        state: the folder in which tries are counted.
    """

    name: str
    kind: str
    inputs: tuple[str, ...] = ()
    row: str = ""
    size: int = 0
    pool: str = "one"
    on_error: str = "fail"
    fail: int = 0
    drop: int = 0
    trouble: tuple[str, ...] = ("raise",)
    early: bool = False
    fan: int = 0
    big: int = 0
    nap: float = 0
    odd: bool = False
    own: tuple[str, ...] = ()
    listed: bool = False
    seeded: bool = False
    vectorized: bool = False
    awaits: bool = False
    lazy: bool = False
    resource: str = ""
    retries: int = 0
    stumbles: bool = False
    stumble: str = "error"
    timeout: float | None = None
    fuse: bool = True
    checkpoint: bool = False
    spread: bool = True
    combine: bool = False
    stride: int | str | None = None
    state: str = ""

    def told(self) -> dict[str, object]:
        """Return what is not as plain as can be."""
        plain = Spec(name=self.name, kind=self.kind)
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name: value
            for name, value in values.items()
            if name in {"name", "kind"} or (name != "state" and value != getattr(plain, name))
        }


@dataclass(slots=True)
class Step:
    """One way to run the graph.

    Attributes:
        mode: what is done with the run.
        number: what bounds and pools are drawn from.
    """

    mode: str
    number: int


@dataclass(slots=True)
class Case:
    """A random graph and how it is played; another one comes of it by shrinking.

    Attributes:
        prefix: the graph is included in another one under this prefix.
    """

    seed: int
    profile: str
    prefix: str = ""
    specs: list[Spec] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    pools: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def find(self, name: str) -> Spec:
        """Return the spec of a name."""
        return next(spec for spec in self.specs if spec.name == name)

    def prune(self) -> None:
        """Leave out what no target needs, and inputs that no node takes."""
        needed = set(self.targets)
        for spec in reversed(self.specs):
            if spec.name in needed:
                needed |= set(spec.inputs)
        self.specs = [spec for spec in self.specs if spec.name in needed]
        taken = {name for spec in self.specs for name in spec.inputs}
        lost = {spec.name for spec in self.specs if spec.kind == "input"} - taken
        self.targets = [name for name in self.targets if name not in lost]
        self.specs = [spec for spec in self.specs if spec.name not in lost]

        self._divide_rows()

    def _divide_rows(self) -> None:
        """Let those of a row have different ones that no node takes together: nothing aligns them any more."""
        depths: dict[str, int] = {}
        rows: dict[str, set[str]] = {}
        for spec in self.specs:
            steps = {"input": 1, "source": 1, "scatter": 1, "gather": -1, "fold": -1}.get(spec.kind, 0)
            depths[spec.name] = max((depths[name] for name in spec.inputs), default=0) + steps
            found = rows.setdefault(spec.name, set() if spec.inputs else {spec.name})
            for name in spec.inputs:
                found |= rows[name]
            for name in set(found):
                found |= rows[name]
                rows[name] = found
            if not depths[spec.name]:
                rows[spec.name] = set()
        for spec in self.specs:
            if spec.row:
                spec.row = min(rows[spec.name])

    def show(self) -> str:
        """Return it as text, a line a node."""
        lines = [f"  {spec.told()}" for spec in self.specs]
        steps = ", ".join(f"{step.mode} {step.number}" for step in self.steps)
        return "\n".join([*lines, f"  targets {self.targets}, pools {self.pools}, steps {steps}"])
