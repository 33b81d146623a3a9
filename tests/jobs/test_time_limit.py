"""How long batches usually take, and when nothing more is started because of it."""

import threading

import pytest

from papympi.contracts import NodeCount, Statistics
from papympi.jobs.time_limit import keep_to_limit, measure_usual
from papympi.model.graph import Graph
from papympi.plan.compile import PlanSettings, compile_plan


@pytest.fixture
def plan():
    """Return a plan with one stage of ten items a batch."""
    graph = Graph()
    graph.add(lambda x: x, name="n", stride=10)
    return compile_plan(graph, ["n"], ["x"], PlanSettings())


@pytest.mark.parametrize(("done", "usual"), [(0, 0.0), (5, 4.0), (100, 0.4)])
def test_a_batch_and_the_one_before_it_count(plan, done, usual):
    statistics = Statistics({"n": NodeCount(done=done, seconds=2.0)})
    assert measure_usual(plan, statistics) == pytest.approx(usual)


def test_a_run_is_stopped_when_a_batch_does_not_fit(plan):
    stopped, told = threading.Event(), []
    statistics = Statistics({"n": NodeCount(done=1, seconds=1000.0)})
    with keep_to_limit(plan, lambda: statistics, stopped.set, 60.0, told.append):
        assert stopped.wait(30)
    assert "a batch takes up to 2000.0 s: nothing more is started" in told[0]


def test_without_a_limit_nothing_is_stopped(plan):
    with keep_to_limit(plan, lambda: Statistics({}), pytest.fail, None, pytest.fail):
        pass
