"""Draws a case from its seed alone: nodes, how they fail, pools, targets, and the steps in which it is played."""

from __future__ import annotations

import random

from tests.fuzz.specs import Case, Spec, Step
from tests.fuzz.troubles import DIE, RAISE, RETURN

POOLS = {
    "light": ("inline", "threads:1", "threads:2", "threads:4", "asyncio", "asyncio:3", "executor", "two threads"),
    "processes": (
        "inline", "threads:2", "processes:1", "processes:2", "processes:3", "mixed", "asyncio", "executor", "loky:2",
    ),
    "crash": ("processes:1", "processes:2", "mpi:2", "loky:2", "crew"),
    "hang": ("processes:2", "processes:3", "threads:3", "asyncio", "asyncio:5", "mixed", "mpi:2", "crew"),
    "mpi": ("mpi:2", "mpi:1", "unguarded ranks", "wide ranks", "crew"),
    "resume": ("inline", "threads:2", "processes:2", "asyncio", "mpi:2"),
    "shards": ("inline", "threads:2", "processes:2"),
}  # fmt: skip
"""The pools of each profile; what has no number of workers is spelt out where pools are made."""

MODES = {
    "light": ("full", "full", "unordered", "drop", "raise", "stop", "now", "close", "pause", "tee", "journal"),
    "processes": ("full", "full", "unordered", "drop", "raise", "stop", "now", "close", "pause", "tee", "journal"),
    "crash": ("full", "unordered", "drop", "raise", "stop", "close", "journal"),
    "hang": ("full", "unordered", "drop", "raise", "stop", "close"),
    "mpi": ("full", "unordered", "drop", "raise", "stop", "close"),
    "resume": ("killed",),
    "shards": ("shards",),
}
OWN = ("processes", "mpi", "loky", "unguarded", "wide", "crew")
"""How pools begin whose workers share no memory with the runner."""
DEEPEST = 4


class Drawing:
    """Makes one case; whatever it asks of chance it asks in the same order."""

    def __init__(self, seed: int, profile: str) -> None:
        self.chance = chance = random.Random(f"{profile} {seed}")
        self.case = Case(seed, profile)
        self.case.prefix = "" if profile in {"resume", "shards"} else chance.choice(["", "", "", "pre."])
        names = ("one", "two")[: chance.randint(1, 2)]
        self.case.pools = {name: chance.choice(POOLS[profile]) for name in names}
        self.spaces: dict[str, tuple[str, ...]] = {}
        self.trouble = chance.choice([15, 30] if profile == "hang" else [0, 0, 3, 7, 20])
        self.odd = chance.random() < 0.4 and profile not in {"resume", "shards"}
        self.nap = chance.choice([0, 0, 0.002, 0.01])
        self.big = chance.choice([0, 200] if profile == "light" else [0, 0, 0, 200, 70_000, 300_000])
        if profile in {"resume", "shards"}:
            self.big = 0

    def draw(self) -> Case:
        """Return the case."""
        chance, case, profile = self.chance, self.case, self.case.profile
        for row in "A" if case.profile == "shards" else chance.choice(["A", "A", "AB"]):
            size = chance.choice([0, 1, 2, 5, 9, 17, 40, 100 if case.profile == "light" else 30])
            for _ in range(chance.choice([1, 1, 2])):
                self._add_source(row, size)
        for _ in range(chance.randint(1, chance.choice([4, 8, 14]))):
            if chance.random() < 0.1 and not (profile == "crash" and "loky:2" in case.pools.values()):
                self._add_enclosed()  # foreign executors do not know at which child a worker has died
            else:
                self._add_node()
        taken = {name for spec in case.specs for name in spec.inputs}
        names = [spec.name for spec in case.specs if spec.kind != "input" or spec.name in taken]
        names = [name for name in names if name in self.spaces]
        sinks = [name for name in names if name not in taken]
        some = chance.sample(names, min(len(names), chance.randint(1, 4)))
        case.targets = sinks if chance.random() < 0.4 else some
        case.steps = [Step(chance.choice(MODES[case.profile]), number) for number in (1, 2)]
        if case.profile in {"resume", "shards"}:
            case.steps = case.steps[:1]
        case.prune()
        return case

    def _add_source(self, row: str, size: int) -> None:
        chance, profile = self.chance, self.case.profile
        spec = Spec(name=f"s{len(self.case.specs)}", kind=chance.choice(["input", "input", "source"]), row=row)
        if profile in {"resume", "shards"}:
            spec.kind = "input"
        if spec.kind == "source":
            spec.name = self.case.prefix + spec.name
        spec.size, spec.lazy = size, chance.random() < 0.4
        spec.awaits = spec.kind == "source" and chance.random() < 0.3
        spec.odd = self.odd and chance.random() < 0.5
        beside = [other for other in self.case.specs if other.row == row]
        if spec.kind == "source" and self.trouble and chance.random() < 0.2 and not beside:
            spec.fail = 1
        if not any(other.fail for other in beside):  # what fails ends its row, and has it alone
            self.case.specs.append(spec)
            self.spaces[spec.name] = (row,)

    def _add_node(self) -> None:
        chance = self.chance
        base = chance.choice(list(self.spaces)[-4:])
        kind = self._choose_kind(self.spaces[base])
        spec = Spec(name=f"{self.case.prefix}n{len(self.case.specs)}", kind=kind)
        inputs = [base]
        if chance.random() < 0.5:
            above = self.spaces[base]
            others = [name for name, space in self.spaces.items() if name != base and above[: len(space)] == space]
            inputs += chance.sample(others, min(len(others), chance.randint(1, 2)))
            chance.shuffle(inputs)
        spec.inputs = tuple(inputs)
        self._draw_options(spec)
        space = getattr(self, f"_draw_{kind}")(spec, self.spaces[base])
        self.case.specs.append(spec)
        self.spaces[spec.name] = space

    def _add_enclosed(self) -> None:
        """Add a scatter whose children stay where they are made, with what works on them and closes them."""
        chance, before = self.chance, set(self.spaces)
        base = chance.choice([name for name in self.spaces if self.spaces[name]][-4:])
        if len(self.spaces[base]) >= DEEPEST:
            return
        pool = chance.choice(list(self.case.pools))
        scatter = self._add_inside("scatter", [base], pool)
        children = [scatter.name]
        for _ in range(chance.randint(0, 3)):
            inputs = [chance.choice(children), *chance.sample([*children, base], chance.randint(0, 1))]
            children.append(self._add_inside("map", list(dict.fromkeys(inputs)), pool).name)
        closing = [
            self._add_inside(chance.choice(["gather", "fold"]), [chance.choice(children)], pool).name
            for _ in range(chance.choice([1, 1, 2]))
        ]
        self.spaces = {name: space for name, space in self.spaces.items() if name in before or name in closing}

    def _add_inside(self, kind: str, inputs: list[str], pool: str) -> Spec:
        """Add a node of those that stay together, as plain as such nodes have to be."""
        spec = Spec(name=f"{self.case.prefix}n{len(self.case.specs)}", kind=kind, inputs=tuple(inputs))
        self._draw_options(spec)
        self.spaces[spec.name] = getattr(self, f"_draw_{kind}")(spec, self.spaces[inputs[0]])
        spec.pool, spec.fuse, spec.spread = pool, True, kind != "scatter"
        spec.awaits = spec.checkpoint = spec.combine = spec.stumbles = False
        spec.retries = 0
        spec.trouble = tuple("raise" if name in RETURN else name for name in spec.trouble)
        self.case.specs.append(spec)
        return spec

    def _choose_kind(self, space: tuple[str, ...]) -> str:
        chance = self.chance
        kind = chance.choice([*["map"] * 4, "scatter", "scatter", "gather", "group", "fold", "fold"])
        if not space:
            return chance.choice(["map", "map", "scatter"])
        if kind == "scatter" and len(space) >= DEEPEST:
            return "map"
        closes = kind in {"gather", "group", "fold"}
        return "map" if closes and len(space) == 1 and self.case.profile == "shards" else kind

    def _draw_options(self, spec: Spec) -> None:
        chance, profile = self.chance, self.case.profile
        spec.pool = chance.choice(list(self.case.pools))
        spec.stride = chance.choice([1, 1, 2, 3, 7, 16, 64, "auto", None])
        spec.nap = self.nap if chance.random() < 0.4 else 0
        if self.trouble and chance.random() < 0.6:
            spec.fail = self.trouble
            spec.on_error = chance.choice(["fail", "fail", "drop", "heal"])
            spec.trouble = self._draw_trouble(spec.kind)
        elif chance.random() < 0.2:
            spec.on_error = chance.choice(["drop", "heal"])
        spec.fuse = chance.random() < 0.85
        if set(spec.trouble) & {"unpicklable", "unopenable"}:
            spec.fuse = False  # what is not sent need not be pickled
        spec.checkpoint = chance.random() < 0.1
        spec.odd = self.odd and chance.random() < 0.5
        if chance.random() < 0.3:
            deepest = max((self.spaces[name] for name in spec.inputs), key=len)
            spec.own = tuple(name for name in spec.inputs if self.spaces[name] == deepest)
        spec.early = profile == "crash" or "hang" in spec.trouble
        if "hang" in spec.trouble or (profile == "hang" and chance.random() < 0.3):
            spec.timeout = 2

    def _draw_trouble(self, kind: str) -> tuple[str, ...]:
        chance, profile = self.chance, self.case.profile
        travels = kind not in {"fold", "scatter"} and not self._shares()
        if profile == "crash":
            return tuple(chance.sample([*DIE, *DIE, *RAISE, *RETURN] if travels else [*DIE, *DIE, *RAISE], 3))
        if profile in {"mpi", "resume", "shards"}:
            return ("raise", *chance.sample(sorted(RAISE), 2))
        if profile == "hang":
            return ("hang", "raise", "hang" if self._shares() else chance.choice(["spin", "sleep"]))
        return tuple(chance.sample([*RAISE, *RETURN] if travels else [*RAISE], 2))

    def _shares(self) -> bool:
        return any(not pool.startswith(OWN) for pool in self.case.pools.values())

    def _draw_retries(self, spec: Spec) -> None:
        if self.chance.random() < 0.15:
            spec.retries, spec.stumbles = self.chance.randint(1, 3), True
            if self.case.profile == "crash":
                spec.stumble = self.chance.choice(["error", "die", "kill", "crash"])
            if self.case.profile == "hang" and spec.timeout:
                spec.retries, spec.stumble = 1, "hang"

    def _draw_map(self, spec: Spec, space: tuple[str, ...]) -> tuple[str, ...]:
        chance = self.chance
        spec.drop = chance.choice([0, 0, 2, 5])
        spec.big = self.big if chance.random() < 0.5 else 0
        spec.seeded, spec.vectorized, spec.awaits = (chance.random() < 0.2 for _ in range(3))
        if not spec.vectorized and not spec.awaits and chance.random() < 0.15:
            spec.resource = chance.choice(["good", "yields", "bad" if self.trouble else "good"])
            if spec.resource == "bad":  # a run of which no worker can make it ends, unless its node does without
                spec.on_error = "heal"
        self._draw_retries(spec)
        return space

    def _draw_scatter(self, spec: Spec, space: tuple[str, ...]) -> tuple[str, ...]:
        chance = self.chance
        spec.fan = chance.choice([0, 1, 3, 6, 10])
        spec.drop = chance.choice([0, 0, 3])
        spec.big = self.big if chance.random() < 0.2 else 0
        spec.awaits, spec.spread = chance.random() < 0.2, chance.random() < 0.7
        self._draw_retries(spec)
        return (*space, spec.name)

    def _draw_gather(self, spec: Spec, space: tuple[str, ...]) -> tuple[str, ...]:
        chance = self.chance
        spec.drop = chance.choice([0, 0, 4])
        spec.awaits = chance.random() < 0.15
        self._draw_retries(spec)
        return space[:-1]

    def _draw_group(self, spec: Spec, space: tuple[str, ...]) -> tuple[str, ...]:
        spec.size = self.chance.choice([1, 2, 3, 7, 20])
        return (*space[:-1], spec.name)

    def _draw_fold(self, spec: Spec, space: tuple[str, ...]) -> tuple[str, ...]:
        spec.listed = self.chance.random() < 0.3
        spec.combine, spec.awaits = self.chance.random() < 0.4, self.chance.random() < 0.15
        return space[:-1]
