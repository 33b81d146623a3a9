"""What one function changes in place, no other one sees, wherever both are called."""

import threading
from decimal import Decimal

import numpy as np
import pytest

from papympi import Failure, Graph, run
from papympi.workers.evaluation.copies import copy_value

PLACES = ["inline", "threads:2", "asyncio", "processes:2", "mpi:2"]


def words(x):
    return [x, x + 1, x + 2]


def drained(words):
    total = 0
    while words:
        total += words.pop()
    return total


def head(words):
    return len(words)


def tail(words):
    words.append(-1)
    return list(words)


def play(place, functions, **options):
    """Return what each target gives."""
    graph = Graph("g")
    graph.add(words, inputs={"x": "x"}, pool="p")
    for function in functions:
        graph.add(function, pool="p")
    targets = ["words", *(function.__name__ for function in functions)]
    found = {}
    for each in run({"x": range(6)}, graph=graph, pools={"p": place}, targets=targets, **options).results():
        found.setdefault(each.node, []).append(each.value)
    return found


EXPECTED = {
    "words": [[x, x + 1, x + 2] for x in range(6)],
    "drained": [3 * x + 3 for x in range(6)],
    "head": [3] * 6,
    "tail": [[x, x + 1, x + 2, -1] for x in range(6)],
}


@pytest.mark.parametrize("fusion", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_siblings_see_no_changes(place, fusion):
    """Both had one object if they were in one stage, or shared the runner's."""
    assert play(place, [drained, head, tail], fusion=fusion) == EXPECTED
    assert play(place, [head, tail, drained], fusion=fusion) == EXPECTED


@pytest.mark.parametrize("place", PLACES)
def test_a_vectorized_sibling_sees_no_changes(place):
    def sums(words):
        return [drained(each) for each in words]

    graph = Graph("g")
    graph.add(words, inputs={"x": "x"}, pool="p")
    graph.add(sums, pool="p", vectorized=True)
    graph.add(head, pool="p")
    found = [each.value for each in run({"x": range(6)}, graph=graph, pools={"p": place}).results()]
    assert sorted(found) == sorted(EXPECTED["drained"] + EXPECTED["head"])


@pytest.mark.parametrize("place", PLACES)
def test_a_retry_sees_no_changes(place, tmp_path):
    """What the first attempt had left of its input was tried again."""

    def flaky(words):
        total = drained(words)
        if not (tmp_path / str(total)).exists():
            (tmp_path / str(total)).touch()
            raise OSError("once")
        return total

    graph = Graph("g")
    graph.add(words, inputs={"x": "x"}, pool="p")
    graph.add(flaky, pool="p", retries=1, backoff=0)
    assert list(run({"x": range(6)}, graph=graph, pools={"p": place})) == EXPECTED["drained"]


def kids(x):
    yield [x]
    yield [x, x]


def emptied(kids):
    kids.clear()
    return 0


def ended(emptied):
    return sum(emptied)


def spoils(kids):
    for kid in kids:
        kid.clear()
    return 0


def lengths(kids):
    return [len(kid) for kid in kids]


@pytest.mark.parametrize("spread", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_siblings_of_a_gather_see_no_changes(place, spread):
    """The lists of two gathers had the same members."""
    graph = Graph("g")
    graph.add(kids, inputs={"x": "x"}, pool="p", spread=spread)
    graph.add(emptied, pool="p")
    for function in (ended, spoils, lengths):
        graph.add(function, pool="p", gather=True)
    running = run({"x": range(4)}, graph=graph, pools={"p": place})
    assert [each.value for each in running.results() if each.node == "lengths"] == [[1, 2]] * 4


def popped_sum(total, kids):
    while kids:
        total += kids.pop()
    return total


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("spread", [True, False])
@pytest.mark.parametrize("order", [(lengths, popped_sum), (popped_sum, lengths)], ids=["list first", "fold first"])
def test_a_list_sees_no_changes_of_a_fold(place, spread, order):
    """Children are folded before their list is there, also where the fold was declared behind the gather."""
    graph = Graph("g")
    graph.add(kids, inputs={"x": "x"}, pool="p", spread=spread)
    for function in order:
        how = {"fold": int} if function is popped_sum else {"gather": True}
        graph.add(function, pool="p", **how)
    graph.add(lambda lengths, popped_sum: (lengths, popped_sum), name="pair", pool="p")
    found = list(run({"x": range(3)}, graph=graph, pools={"p": place}))
    assert found == [([1, 2], 3 * x) for x in range(3)]


def emptied_each(words):
    sums = []
    for each in words:
        sums.append(0)
        while each:
            sums[-1] += each.pop()
        if sums[-1] == 9:
            raise ValueError("no nine")
    return sums


async def awaited_each(words):
    return emptied_each(words)


@pytest.mark.parametrize("function", [emptied_each, awaited_each])
@pytest.mark.parametrize("place", PLACES)
def test_vectorized_calls_see_no_earlier_changes(place, function):
    """A vectorized function that raises for one item is called again for the others, and had changed theirs."""
    graph = Graph("g")
    graph.add(words, inputs={"x": "x"}, pool="p", fuse=False)
    graph.add(function, pool="p", vectorized=True, stride=6)
    found = list(run({"x": range(6)}, graph=graph, pools={"p": place}, errors="keep"))
    assert [each if isinstance(each, int) else each.key for each in found] == [3, 6, (2,), 12, 15, 18]


def pushed(total, words):
    total.extend(words)
    return total


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_nodes_see_no_changes_of_the_consumer(place, ordered):
    """Of a value that others take, too, the consumer had the object itself, often before they did."""
    graph = Graph("g")
    graph.add(words, inputs={"x": "x"}, pool="p", fuse=False)
    graph.add(tail, pool="p", fuse=False)
    graph.add(tail, name="pair", pool="p", gather=2, inputs={"words": "words"})
    graph.add(pushed, inputs={"words": "words"}, pool="p", fold=list)
    graph.add(head, inputs={"words": "pushed"}, pool="p")
    running = run(
        {"x": range(20)}, graph=graph, pools={"p": place}, targets=list(graph.nodes), ordered=ordered, admission=4
    )
    sums = dict.fromkeys(graph.nodes, 0)
    for each in running.results():
        sums[each.node] += each.value if isinstance(each.value, int) else len(each.value)
        if isinstance(each.value, list):
            for part in each.value:
                if isinstance(part, list):
                    part.clear()
            each.value.clear()
    assert sums == {"words": 60, "tail": 80, "pair": 30, "pushed": 60, "head": 60}


@pytest.mark.parametrize("place", ["inline", "threads:2"])
def test_journals_see_no_changes_of_the_consumer(place, tmp_path):
    graph = Graph("g")
    graph.add(words, inputs={"x": "x"}, pool="p")
    graph.add(tail, pool="p")
    for resume in (False, True):
        running = run(
            {"x": range(20)}, graph=graph, pools={"p": place}, journal=tmp_path / "run", resume=resume,
            targets=["words", "tail"],
        )  # fmt: skip
        found = [each.value for each in running.results()]
        assert sorted(map(len, found)) == [3] * 20 + [4] * 20
        for each in found:
            each.clear()


def test_what_nothing_copies_is_shared():
    graph = Graph("g")
    graph.add(lambda x: threading.Lock(), name="made", inputs={"x": "x"}, pool="p")
    graph.add(id, name="one", inputs={"made": "made"}, pool="p")
    graph.add(id, name="other", inputs={"made": "made"}, pool="p")
    found = [each.value for each in run({"x": [1]}, graph=graph, pools={"p": "inline"}).results()]
    assert len(set(found)) == 1
    assert not any(isinstance(each, Failure) for each in found)


@pytest.mark.parametrize("value", [1, "text", b"bytes", None, (1, "a", (2.0, None)), frozenset({1}), Decimal(1), len])
def test_what_cannot_change_is_not_copied(value):
    assert copy_value(value) is value


@pytest.mark.parametrize("value", [[1], {1: 2}, {1}, [[1]], (1, [2]), {"a": [1]}, bytearray(b"x")])
def test_what_can_change_is_copied(value):
    copy = copy_value(value)
    assert copy == value
    assert copy is not value
    inside = [part for part in copy if isinstance(part, list)] if not isinstance(copy, dict) else []
    assert all(part is not old for part in inside for old in value)


def test_an_array_is_copied():
    value = np.asfortranarray(np.ones((3, 4)))
    copy = copy_value(value)
    assert copy.flags.f_contiguous
    assert not np.shares_memory(copy, value)
