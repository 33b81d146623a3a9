"""Workers are renewed between two batches: what leaks costs time, and no item."""

import os
import time
from collections import Counter

import pytest

from papympi import Graph, run
from papympi.errors import OptionError

KINDS = ["processes", "mpi"]


def go(function, items, kind, *, errors="raise", stride=1, **options):
    """Run a graph of one node on two workers; return the results."""
    graph = Graph("renewal")
    graph.node(pool="work", stride=stride)(function)
    pools = {"work": {"backend": kind, "workers": 2, **options}}
    given = {"x": items}
    return list(run(given, graph=graph, pools=pools, errors=errors, by_value=("__main__", __name__), fusion=False))


def where(x):
    with open(f"{x[0]}/{x[1]}", "a") as file:  # noqa: PTH123 - it goes to a worker
        file.write("once\n")
    return x[1], os.getpid()


@pytest.mark.parametrize("kind", KINDS)
def test_renewed_after_items(kind, tmp_path, nothing_left):
    """No worker has more items than it may have but for one batch, and each item is done once."""
    found = go(where, [(str(tmp_path), x) for x in range(60)], kind, renew_after=10)
    assert [x for x, _ in found] == list(range(60))
    assert len({pid for _, pid in found}) >= 5
    assert all((tmp_path / str(x)).read_text() == "once\n" for x in range(60))


hoard = []


def leak(x):
    import os

    hoard.append(bytearray(os.urandom(1 << 20)) * 25)
    return x, os.getpid(), len(hoard)


@pytest.mark.parametrize("kind", KINDS)
def test_renewed_above_a_size(kind, nothing_left):
    found = go(slow_leak, range(30), kind, renew_above="200 MB")
    assert [x for x, *_ in found] == list(range(30))
    assert max(size for *_, size in found) < 20


def slow_leak(x):
    import time

    time.sleep(0.1)  # a worker looks at its size now and then
    return leak(x)


@pytest.mark.timeout(100)
@pytest.mark.parametrize("stride", [1, 16])
@pytest.mark.parametrize("kind", KINDS)
def test_leaks_cost_no_items(kind, stride, nothing_left):
    """A worker whose memory is used up is replaced, and its items are done by another."""
    found = go(leak, range(40), kind, stride=stride, memory="300 MB", errors="keep")
    assert [x for x, *_ in found] == list(range(40))


def too_much(x):
    return len(bytearray(1 << 30)) if x == 3 else x


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_too_big_an_item_fails(kind, stride, nothing_left):
    """An item that needs more than there is fails, alone, when a fresh worker cannot do it either."""
    found = go(too_much, range(12), kind, stride=stride, memory="300 MB", errors="keep")
    assert found[:3] + found[4:] == [0, 1, 2, *range(4, 12)]
    assert isinstance(found[3].error, MemoryError)
    assert "300 MB" in found[3].traceback


def parts(x):
    for part in range(40):
        yield x, part, os.getpid()


@pytest.mark.parametrize("kind", KINDS)
def test_generators_come_to_their_end(kind, nothing_left):
    """A worker that holds a suspended generator is not replaced before that is finished."""
    graph = Graph("renewal")
    graph.node(pool="work", stride=1)(parts)
    pools = {"work": {"backend": kind, "workers": 2, "renew_after": 3}}
    given = {"x": range(20)}
    options = {"by_value": ("__main__", __name__), "admission": 8, "fusion": False}
    found = list(run(given, graph=graph, pools=pools, **options))
    assert [(x, part) for x, part, _ in found] == [(x, part) for x in range(20) for part in range(40)]
    owners = Counter(x for x, _ in {(x, pid) for x, _, pid in found})
    assert set(owners.values()) == {1}


@pytest.mark.parametrize("kind", KINDS)
def test_resources_are_taken_down(kind, tmp_path, nothing_left):
    """A worker that is replaced ends as others do, with its resources; a slow end holds up nobody."""
    graph = Graph("renewal")

    @graph.resource
    def place():
        yield tmp_path
        time.sleep(0.2)
        (tmp_path / str(os.getpid())).touch()

    @graph.node(pool="work", stride=1)
    def who(x, place):
        return os.getpid()

    pools = {"work": {"backend": kind, "workers": 2, "renew_after": 6}}
    found = set(run({"x": range(40)}, graph=graph, pools=pools, by_value=("__main__", __name__)))
    assert len(found) >= 3
    assert {int(path.name) for path in tmp_path.iterdir()} == found


@pytest.mark.parametrize(
    ("options", "word"),
    [({"renew_after": 0}, "renew_after"), ({"renew_above": "much"}, "renew_above"), ({"renew_above": 5}, "too little")],
)
@pytest.mark.parametrize("kind", KINDS)
def test_bad_options_are_refused(kind, options, word):
    with pytest.raises(OptionError, match=word):
        go(leak, [1], kind, **options)


def test_only_children_are_renewed():
    with pytest.raises(OptionError, match="renew_after is for the children of ranks"):
        go(leak, [1], "mpi", isolate=False, renew_after=5)
