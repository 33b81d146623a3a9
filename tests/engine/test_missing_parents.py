"""Children beside a value of their parent that was dropped or has failed: whatever takes both, at whatever depth."""

from __future__ import annotations

import warnings
from itertools import product

import pytest

from papympi import DROP, Failure, Graph, run
from papympi.model.graph import GraphWarning
from papympi.testing.driver import of_two

SIZE = 25


def kid(x):
    yield from range(x % 5)


def grand(kid):
    yield from range(kid)


def spoil(x):
    """Two of three rows in a row are gone, one of seven others fails."""
    if x % 7 == 6:
        raise ValueError(x)
    return x if x // 3 % 3 == 0 else DROP


def pair(below, above):
    return below, above


def spread(below, above):
    yield below, above


def collect(total, below, above):
    return [*total, (below, above)]


KINDS = {
    "map": (pair, {}),
    "scatter": (spread, {}),
    "group": (pair, {"gather": 2}),
    "gather": (pair, {"gather": True}),
    "fold": (collect, {"fold": list}),
    "combine": (collect, {"fold": list, "combine": list.__add__}),
}


def build(kind, depth, stride):
    graph = Graph("missing")
    graph.add(kid, inputs={"x": "x"}, pool="p", stride=stride)
    graph.add(grand, pool="p", stride=stride)
    graph.add(spoil, inputs={"x": "x"}, pool="p", stride=1)  # so that a dropped row has no payload at all
    function, options = KINDS[kind]
    inputs = {"below": "kid" if depth == 2 else "grand", "above": "spoil"}
    graph.add(function, name="taker", inputs=inputs, pool="p", stride=stride, **options)
    return graph


def children(x, depth):
    """Yield the lists of siblings below a row, each with the key of its parent."""
    if depth == 2:
        yield (x,), list(kid(x))
        return
    for number, child in enumerate(kid(x)):
        yield (x, number), list(grand(child))


def wanted(kind, depth):
    """Yield (key, value) of every result, a failure as the key of its call."""
    for x in range(SIZE):
        state = "failed" if x % 7 == 6 else "there" if x // 3 % 3 == 0 else "gone"
        for parent, siblings in children(x, depth):
            pairs = [(child, x) for child in siblings] if state != "gone" else []
            if kind in {"gather", "fold", "combine"}:  # what takes siblings closes those that are there
                yield from close(kind, parent, pairs, x, state)
            else:
                size = 2 if kind == "group" else 1
                for number in range(0, len(pairs), size):
                    key = (*parent, number // size, *[0] * (kind == "scatter"))
                    some = pairs[number : number + size]
                    value = ([child for child, _ in some], x) if kind == "group" else some[0]
                    yield key, (x,) if state == "failed" else value


def close(kind, parent, pairs, x, state):
    if kind == "gather":  # takes the list, and the value of the row beside it
        if state == "failed":
            yield parent, (x,)
        elif state == "there":
            yield parent, ([child for child, _ in pairs], x)
    else:
        yield parent, (x,) if pairs and state == "failed" else pairs


def found(graph, pool, **options):
    options |= {"targets": ["taker"], "errors": "keep"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphWarning)
        running = run({"x": iter(range(SIZE))}, graph=graph, pools={"p": pool}, **options)
    for entry in running.results():
        if isinstance(entry, Failure):
            yield entry.place, entry.key
        else:
            yield entry.key, entry.value


@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_missing_parent_is_inherited(kind, depth):
    """A value that positions share was cut without a look at whether there is one; strides decide who meets whom."""
    want = list(wanted(kind, depth))
    for stride, admission, fusion in product((1, 7, "auto"), (5, 1000), (False, True)):
        options = {"admission": admission, "fusion": fusion}
        assert list(found(build(kind, depth, stride), "inline", **options)) == want


@pytest.mark.parametrize("kind", KINDS)
def test_missing_parent_on_every_pool(kind, pool):
    """What is missing travels to other processes and ranks, too."""
    assert list(found(build(kind, 2, 7), of_two(pool), admission=1000)) == list(wanted(kind, 2))
