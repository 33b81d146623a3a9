"""Who drops what: `on_error="drop"` leaves items out, and never makes a good result of what could not be read."""

from __future__ import annotations

import itertools

import pytest

from papympi import Failure, Graph, NodeError, run
from papympi.testing.driver import of_two

DROP = {"on_error": "drop"}


def opened(x):
    if x == 2:
        raise OSError("no such file")
    return x


def records(opened):
    yield from range(4)
    if opened == 3:
        raise EOFError("cut off")


def read(record):
    if record == 1:
        raise ValueError("bad read")
    return record


def collect(total, value):
    return [*total, value]


def gathered(value):
    return [*value]


def parts(read):
    yield read
    yield read


KINDS = {
    "gather": (gathered, {"gather": True}),
    "fold": (collect, {"fold": list}),
    "combine": (collect, {"fold": list, "combine": list.__add__}),
    "group": (gathered, {"gather": 2}),
}


def build(kind, function=None, *, reads=None, deep=False, **options):
    """Return a graph in which some of the children of a file are closed; `reads` are the options of the map of them."""
    graph = Graph("dropping")
    graph.add(opened, inputs={"x": "x"}, pool="p")
    graph.add(records, pool="p", stride=1, **({"spread": False} if options.pop("stay", False) else {}))
    graph.add(read, inputs={"record": "records"}, pool="p", **DROP if reads is None else reads)
    below = "read"
    if deep:
        graph.add(parts, pool="p")
        graph.add(lambda parts: parts, name="part", pool="p", **DROP)
        graph.add(lambda part: part[0], name="first", gather=True, pool="p", **DROP)
        below = "first"
    usual, closing = KINDS[kind]
    graph.add(function or usual, name="all", inputs={"value": below}, pool="p", **closing, **options)
    return graph


def found(graph, pool, most=None, **options):
    """Return the results of each file, a failure as the node that it is of."""
    options |= {"graph": graph, "pools": {"p": pool}, "errors": "keep", "targets": ["all"]}
    values = {}
    for entry in itertools.islice(run({"x": range(5)}, **options).results(), most):
        key = entry.place if isinstance(entry, Failure) else entry.key
        values.setdefault(key[0], []).append(entry.node if isinstance(entry, Failure) else entry.value)
    return values


def wanted(kind):
    """Return the results of each file where one read of each is dropped; two files could not be read to their end."""
    if kind == "group":
        good, bad = [[0, 2], [3]], {2: ["opened"], 3: [[0, 2], "records"]}
    else:
        good, bad = [[0, 2, 3]], {2: ["opened"], 3: ["records"]}
    return {x: bad.get(x, good) for x in range(5)}


@pytest.mark.parametrize("reads", [DROP, {}], ids=["drops", "fails"])
@pytest.mark.parametrize("kind", KINDS)
def test_unreadable_parent_fails(kind, reads, pool):
    """The failure of a scatter was dropped as one of its children, and a good result made of the rest."""
    options = {} if reads else DROP
    assert found(build(kind, reads=reads, **options), of_two(pool)) == wanted(kind)


@pytest.mark.parametrize("kind", ["gather", "fold"])
def test_unreadable_parent_fails_deeper(kind):
    """Through another scatter and its gather, all of which drop, it comes, too."""
    assert found(build(kind, deep=True, **DROP), "threads:2") == wanted(kind)


@pytest.mark.parametrize("options", [{}, DROP], ids=["fails", "drops"])
@pytest.mark.parametrize("kind", ["gather", "fold"])
def test_staying_children_agree(kind, options):
    """Where children stay in their task it is the same."""
    assert found(build(kind, stay=True, **options), "threads:2") == wanted(kind)


def divide(value):
    return 1 / 0


def fold_badly(total, value):
    return 1 / 0


@pytest.mark.parametrize("kind", KINDS)
def test_own_failure_is_dropped(kind):
    """What closes siblings drops its own failures, and nothing but those of its siblings."""
    values = found(build(kind, fold_badly if "fold" in KINDS[kind][1] else divide, **DROP), "inline").values()
    names = {name for some in values for name in some}
    assert {"opened"} <= names <= {"opened", "records"}  # a fold that fails before it comes to the end drops that, too


def broken():
    yield from range(3)
    raise OSError("the disk is gone")


@pytest.mark.parametrize("kind", ["gather", "fold", "combine"])
def test_broken_source_fails_the_whole(kind):
    """Of rows that ended with an error no total is made, whoever drops."""
    graph = Graph("source")
    graph.add(lambda x: x, name="read", inputs={"x": "x"}, pool="p", **DROP)
    function, closing = KINDS[kind]
    graph.add(function, name="all", inputs={"value": "read"}, pool="p", **closing, **DROP)
    with pytest.raises(NodeError, match="the disk is gone"):
        list(run({"x": broken()}, graph=graph, pools={"p": "threads:2"}))


@pytest.mark.parametrize("kind", KINDS)
def test_resumed_run_agrees(kind, tmp_path):
    """What a journal knows of groups is what was dropped of them."""
    graph = build(kind, reads={}, **DROP)
    assert len(found(graph, "threads:2", most=7, journal=tmp_path / "run")) >= 3
    for _ in range(2):
        assert found(graph, "threads:2", journal=tmp_path / "run", resume=True) == wanted(kind)
