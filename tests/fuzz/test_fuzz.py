"""Random graphs give what an evaluator written from the documentation gives: some here, more in `make fuzz`."""

import pytest

from tests.fuzz.drawing import Drawing
from tests.fuzz.sandbox import Sandbox
from tests.fuzz.specs import Case, Spec, Step

PLAYED = [
    *[("light", range(first, first + 10)) for first in range(0, 40, 10)],
    *[("processes", [seed]) for seed in range(4)],
    *[("crash", [13005]), ("mpi", [0]), ("shards", [0]), ("resume", [0])],
]
"""The seeds of each profile that are always played, those together that take a few seconds."""
FOUND = {
    "turns of inputs and source nodes": (
        {"name": "s1", "kind": "source", "row": "s1", "size": 1},
        {"name": "s2", "kind": "input", "row": "s2", "size": 1},
        {"name": "n3", "kind": "scatter", "inputs": ("s2",), "fan": 3},
        {"name": "n4", "kind": "group", "inputs": ("n3",), "size": 20},
    ),
    "turns of sources that nothing aligns": (
        {"name": "s0", "kind": "source", "row": "s0", "size": 1},
        {"name": "s1", "kind": "input", "row": "s1", "size": 1},
        {"name": "s2", "kind": "source", "row": "s2", "size": 1},
        {"name": "n3", "kind": "map", "inputs": ("s1",)},
        {"name": "n4", "kind": "scatter", "inputs": ("s2",), "fan": 3},
    ),
    "a consumer that changes what a node takes": (
        {"name": "s0", "kind": "source", "row": "s0", "size": 1},
        {"name": "n1", "kind": "group", "inputs": ("s0",), "size": 1},
        {"name": "n2", "kind": "fold", "inputs": ("n1",), "listed": True},
        {"name": "n3", "kind": "map", "inputs": ("n2",)},
    ),
    "a fold in parts that has failed items and fails": (
        {"name": "s0", "kind": "source", "row": "s0", "size": 42, "fail": 1},
        {"name": "n2", "kind": "group", "inputs": ("s0",), "size": 7},
        {"name": "n3", "kind": "fold", "inputs": ("n2",), "fail": 20, "combine": True},
    ),
}
"""Graphs with which something was wrong once, in the engine or in the evaluator."""


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as made:
        yield made


def play(sandbox, case):
    """Fail with what is wrong with a case."""
    found = sandbox.play(case)
    told = f"python -m tests.fuzz --count 1 --profile {case.profile} --seed {case.seed}"
    assert found is None, f"{told}\n{found.mode}: {found.text}\n{case.show()}"


@pytest.mark.parametrize("pool", ["inline", "threads:2"])
@pytest.mark.parametrize("name", FOUND)
def test_what_was_wrong_is_right(name, pool, sandbox):
    specs = [Spec(**fields) for fields in FOUND[name]]
    steps = [Step(mode, number) for number, mode in enumerate(("full", "unordered", "raise", "stop"), 1)]
    play(sandbox, Case(0, "light", "", specs, [spec.name for spec in specs], {"one": pool}, steps))


@pytest.mark.parametrize(("profile", "seeds"), PLAYED)
def test_random_graphs(profile, seeds, sandbox):
    for seed in seeds:
        play(sandbox, Drawing(seed, profile).draw())
