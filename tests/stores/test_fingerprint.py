"""The part of a fingerprint that comes of a node's options: whatever results depend on is in it."""

import dataclasses

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
