"""Random graphs give what an evaluator written from the documentation gives: some here, more in `make fuzz`."""

import pytest

from tests.fuzz.drawing import Drawing
from tests.fuzz.sandbox import Sandbox

PLAYED = {"light": range(40), "processes": range(4), "crash": range(2), "mpi": range(1), "shards": range(1)}
"""The seeds of each profile that are always played."""
FOUND = [
    ("light", 2),  # the order in which inputs and source nodes take turns
    ("light", 3),  # a consumer that changes what a node takes later
    ("light", 1122),  # a fold with `combine` that fails, of items of which one has failed
]
"""Seeds with which something was wrong once."""


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as made:
        yield made


def play(sandbox, profile, seed):
    """Fail with what is wrong with a case."""
    case = Drawing(seed, profile).draw()
    found = sandbox.play(case)
    told = f"python -m tests.fuzz --count 1 --profile {profile} --seed {seed}"
    assert found is None, f"{told}\n{found.mode}: {found.text}\n{case.show()}"


@pytest.mark.parametrize(("profile", "seed"), FOUND)
def test_what_was_wrong_is_right(profile, seed, sandbox):
    play(sandbox, profile, seed)


@pytest.mark.parametrize("profile", PLAYED)
def test_random_graphs(profile, sandbox):
    for seed in PLAYED[profile]:
        play(sandbox, profile, seed)
