"""A run that only fails ends early, in one line; resources are tested in `tests/workers/evaluation`."""

import itertools

import pytest

from papympi import Failure, FailuresError, Graph, OptionError, run


def odd(x):
    if x % 2:
        raise ValueError(f"odd\n{x}")
    return x


def start(items, limit, pool="inline", **options):
    graph = Graph("g")
    graph.add(odd, name="odd", inputs={"x": "x"}, pool="p", stride=1)
    graph.add(lambda odd: odd, name="next", inputs={"odd": "odd"}, pool="p")
    return run({"x": items}, graph=graph, pools={"p": pool}, errors="keep", max_failures=limit, **options)


@pytest.mark.parametrize("pool", ["inline", "threads:2", "asyncio", "processes:2"])
def test_a_run_that_fails_ends_early(pool):
    """It went on to the end of its inputs, and said then that nothing had come of it."""
    running, found = start(itertools.count(1, 2), "90%", pool), []
    with pytest.raises(FailuresError) as caught:
        found.extend(running)
    text, counts = str(caught.value), f"{caught.value.failed} of {caught.value.done} calls"
    assert text.startswith(f"{counts} of node 'odd' failed, more than 90% (odd at ")
    assert text.count("ValueError: odd") == 3
    assert "\n" not in text
    assert 10 <= caught.value.failed < 200
    assert all(isinstance(each, Failure) for each in found)


def test_results_that_are_there_come_first():
    """What had been computed was lost with the rest."""
    running, found = start([0, 2, 4, 1, 6, 8, 10], 0, targets=["odd"]), []
    with pytest.raises(FailuresError, match=r"1 of \d+ calls failed, more than 0 \(odd at \(3,\): ValueError: odd 1\)"):
        found.extend(running)
    assert found[:3] == [0, 2, 4]
    assert not running.statistics().complete


@pytest.mark.parametrize("limit", [5, "5", "50%", "100%", None])
def test_as_many_as_are_let_pass(limit):
    assert len(list(start(range(10), limit))) == 10


def test_a_share_of_few_is_none():
    """The first item may be the only one that fails."""
    assert len(list(start([1, *range(0, 200, 2)], "5%"))) == 101


def test_impossible_limits_are_refused():
    with pytest.raises(OptionError, match="max_failures='most': 'most' is neither"):
        start([1], "most")


def test_earlier_failures_end_nothing(tmp_path):
    """They have been let pass before; a resumed run would end at its first failure."""
    assert len(list(start(range(10), 5, journal=tmp_path / "run"))) == 10
    again = start(range(10), 0, journal=tmp_path / "run", resume=True)
    assert len(list(again)) == 10
    assert len(again.failures) == 5
