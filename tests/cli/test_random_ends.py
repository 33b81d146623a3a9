"""A run that is ended in any way goes on to the results of one that is not: `python -m tests.cli.random_ends`."""

import pytest

from tests.cli.random_ends import POOLS, find_whole, play


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return find_whole(tmp_path_factory.mktemp("whole"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("pool", POOLS)
def test_ended_run_goes_on(pool, whole, tmp_path):
    """Every process of a run may be the one that a signal ends, at every moment."""
    trial = play(POOLS.index(pool), pool, whole, tmp_path)
    assert (trial.ends, trial.wrong) == (trial.ends, "")
