"""Options of nodes: what they are by default, which values they take, which of them go together."""

import pytest

from papympi.errors import OptionError
from papympi.model.options import NodeOptions, declare_option, is_stride, read_options


def read(**options):
    return read_options(options, "node 'n'")


def test_nothing_said_is_the_default():
    assert read() == NodeOptions()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pool", "mpi"),
        ("stride", 1),
        ("stride", "auto"),
        ("gather", 3),
        ("fold", list),
        ("vectorized", True),
        ("on_error", "drop"),
        ("on_error", repr),
        ("timeout", 0.5),
        ("retries", 0),
        ("retry_on", (KeyError, OSError)),
        ("backoff", 0),
        ("fuse", False),
    ],
)
def test_a_possible_value_is_kept(name, value):
    assert getattr(read(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pool", ""),
        ("stride", 0),
        ("stride", True),
        ("gather", 0),
        ("gather", "all"),
        ("fold", 0),
        ("vectorized", 1),
        ("on_error", "skip"),
        ("timeout", 0),
        ("timeout", float("inf")),
        ("retries", -1),
        ("retries", 1.0),
        ("retry_on", ()),
        ("retry_on", (KeyError, "x")),
        ("backoff", -1),
        ("checkpoint", None),
    ],
)
def test_an_impossible_value_is_named(name, value):
    with pytest.raises(OptionError, match=f"node 'n': {name}=.* is impossible; {name} is"):
        read(**{name: value})


def test_a_wrong_name_is_answered():
    with pytest.raises(OptionError, match="unknown option 'strid'; did you mean 'stride'"):
        read(strid=1)


@pytest.mark.parametrize(
    "options",
    [
        {"fold": int, "vectorized": True},
        {"fold": int, "gather": True},
        {"combine": max},
        {"fold": int, "retries": 1},
    ],
)
def test_contradictions_are_refused(options):
    with pytest.raises(OptionError):
        read(**options)


def test_a_fold_with_combine_is_retried():
    assert read(fold=int, combine=max, retries=1).retries == 1


@pytest.mark.parametrize("name", ["stride", "name", "graph", "inputs"])
def test_a_plugin_takes_no_name_of_ours(name):
    with pytest.raises(OptionError, match="every node has that option"):
        declare_option(name)


def test_a_declared_option_is_held_to_its_rule():
    declare_option("papympi_test_even", lambda value: value % 2 == 0)
    assert read(papympi_test_even=2).plugin == {"papympi_test_even": 2}
    with pytest.raises(OptionError, match="not accepted by the plugin"):
        read(papympi_test_even=3)


@pytest.mark.parametrize(("value", "possible"), [(1, True), ("auto", True), (0, False), (2.0, False), (None, False)])
def test_a_stride_is_a_count_or_auto(value, possible):
    assert is_stride(value) is possible
