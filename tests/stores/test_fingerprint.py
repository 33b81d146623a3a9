"""The part of a fingerprint that comes of a node's options: whatever results depend on is in it."""

import dataclasses
from queue import SimpleQueue

import pytest

from papympi.model.graph import Graph
from papympi.model.options import DECLARED, OptionRule
from papympi.plan.wiring import wire
from papympi.stores.fingerprint import fingerprint_nodes


def digest_options(change=None, **options):
    """Return the fingerprint of a node's options, which may be changed once more."""
    graph = Graph()
    graph.add(lambda x: x, name="n", inputs={"x": "x"}, **options)
    if change is not None:
        graph._nodes["n"] = dataclasses.replace(graph["n"], options=change(graph["n"].options))
    return fingerprint_nodes(wire(graph, ["n"], {"x"}))["n"]["options"]


def with_flavour(kind):
    """Return options with one more."""
    fields = [("flavour", str, "plain")]
    return dataclasses.make_dataclass("More", fields, bases=(kind,), frozen=True, kw_only=True)


@pytest.fixture
def declare(monkeypatch):
    """Return what declares one more option, and returns what sets it."""

    def declare_flavour(*, changes_results):
        monkeypatch.setitem(DECLARED, "flavour", OptionRule(lambda _: True, "anything", changes_results))

        def set_flavour(value):
            return lambda options: with_flavour(type(options))(flavour=value)

        return set_flavour

    return declare_flavour


def test_a_new_option_counts_by_its_declaration(declare):
    before = digest_options()
    flavour = declare(changes_results=True)
    assert digest_options(flavour("sweet")) != digest_options(flavour("sour")) != before
    assert digest_options(flavour("plain")) == before
    flavour = declare(changes_results=False)
    assert digest_options(flavour("sweet")) == before


def test_every_option_says_whether_it_counts():
    graph = Graph()
    graph.add(lambda x: x, name="n")
    assert {field.name for field in dataclasses.fields(graph["n"].options)} - {"plugin"} == set(DECLARED)


@pytest.mark.parametrize("options", [{"gather": 2}, {"vectorized": True}, {"on_error": "drop"}])
def test_what_changes_results_counts(options):
    assert digest_options(**options) != digest_options()


@pytest.mark.parametrize("options", [{"stride": 3}, {"pool": "p"}, {"retries": 2}, {"checkpoint": True}])
def test_what_changes_no_results_does_not_count(options):
    assert digest_options(**options) == digest_options()


def test_journals_that_exist_stay_good():
    assert digest_options(vectorized=True, gather=2, on_error="drop") == "6ffc3651687876b8d5dffb0e65d1db26"


LOOKS = SimpleQueue()
"""Has an entry for each time that a scale was taken apart. What is in such a queue is in no digest."""


class Scale:
    """A value of the user's that notes how often it was taken apart."""

    def __init__(self, factor):
        self.factor = factor

    def __reduce_ex__(self, protocol):
        LOOKS.put(protocol)
        return Scale, (self.factor,)


SCALE = Scale(3)


def low(x):
    return SCALE.factor * x if x < 9 else middle(x - 1)


def middle(x):
    return max([x], key=lambda y: low(-y))


def high(x, *, more=low):
    return more(x) + middle(x)


def make_many():
    """Return the wiring of a graph whose nodes share what they reach, each from another side."""
    graph = Graph()
    for number in range(24):
        helper = (low, middle, high, Scale)[number % 4]
        graph.add(
            lambda x, helper=helper: helper(x), name=f"n{number}", inputs={"x": "x"}, on_error=(low, "drop")[number % 2]
        )
    graph.setup(name="warm")(lambda: middle(1))
    return graph


def test_what_nodes_share_is_digested_once():
    """Each node walked through all the code that it reaches: 40 ms a node in a script with many functions."""
    together = fingerprint_nodes(wire(make_many(), None, {"x"}))
    assert LOOKS.qsize() == 1
    for name, found in together.items():
        alone = fingerprint_nodes(wire(make_many(), [name], {"x"}))[name]
        assert list(alone.items()) == list(found.items())
    assert LOOKS.qsize() == 1 + len(together)
