"""Random programs, always the same ones, give on processes what they give on inline; `make matrix` makes new ones."""

import pytest

from tests.scripts.randomly import find_difference, write_program

FIRST, COUNT = 1, 40

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("nothing_left")]


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_random_program(seed):
    """`python -m tests.scripts.randomly --show --seed N` shows one."""
    assert find_difference(seed) == ""


def test_programs_are_whole():
    """Each random program is Python, and comes again from its seed; each kind of them is among a hundred."""
    programs = [write_program(seed) for seed in range(100)]
    for script, helper, _ in programs:
        compile(script, "script", "exec")
        compile(helper, "aside", "exec")
    assert programs == [write_program(seed) for seed in range(100)]
    assert {opens for _, _, opens in programs} == {True, False}
    assert {"__main__" in script for script, _, _ in programs} == {True, False}
