"""What a worker must know: who may be retried, what is inside a stage, how sources and resources are opened."""

from contextlib import ExitStack

import pytest

from papympi.plan.program import Argument, Call, Inner, ResourceSpec, Stage, open_resource, open_source

CLOSED = []


def connect():
    try:
        yield "connection"
    finally:
        CLOSED.append("connection")


def make_limit():
    return 3


def count(limit, *, name="n"):
    for i in range(limit):
        yield f"{name}{i}"


@pytest.fixture(autouse=True)
def nothing_closed():
    CLOSED.clear()


@pytest.mark.parametrize(
    ("attempts", "error", "again"),
    [(0, ValueError(), True), (1, ValueError(), True), (2, ValueError(), False), (0, KeyError(), False)],
)
def test_retries_are_counted_and_chosen(attempts, error, again):
    call = Call("a", int, (), retries=2, retry_on=(ValueError,))
    assert call.may_retry(error, attempts) is again


def test_without_retries_nothing_is_retried():
    assert not Call("a", int, ()).may_retry(ValueError(), 0)


def test_a_plain_resource_is_called():
    with ExitStack() as stack:
        assert open_resource(ResourceSpec("limit", make_limit), stack) == 3


def test_a_generator_resource_is_torn_down():
    with ExitStack() as stack:
        assert open_resource(ResourceSpec("c", connect), stack) == "connection"
        assert CLOSED == []
    assert CLOSED == ["connection"]


def test_a_source_gets_its_resources():
    call = Call("count", count, (Argument(None, None, ResourceSpec("limit", make_limit)),))
    assert list(open_source(call)) == ["n0", "n1", "n2"]


def test_a_source_gets_keywords():
    limit = Argument(None, "limit", ResourceSpec("limit", make_limit))
    name = Argument(None, "name", ResourceSpec("name", lambda: "m"))
    assert list(open_source(Call("count", count, (limit, name)))) == ["m0", "m1", "m2"]


def test_resources_live_while_a_source_is_read():
    def read(c):
        yield len(CLOSED)
        yield len(CLOSED)

    rows = open_source(Call("read", read, (Argument(None, None, ResourceSpec("c", connect)),)))
    assert [next(rows), next(rows), next(rows, None), CLOSED] == [0, 0, None, ["connection"]]


def test_a_source_cut_off_is_torn_down():
    rows = open_source(Call("read", lambda c: iter("ab"), (Argument(None, None, ResourceSpec("c", connect)),)))
    next(rows)
    rows.close()
    assert CLOSED == ["connection"]


def test_a_stage_knows_who_is_inside():
    calls = tuple(Call(name, int, ()) for name in ("parts", "each", "sum", "after"))
    inner = Inner(0, (1,), ((2, int),), (), ())
    stage = Stage("map", 1, calls, (4,), inner=(inner,))
    assert inner.calls == (0, 1, 2)
    assert [stage.find_inside(name) for name in ("parts", "each", "sum", "after", "none")] == [
        None,
        inner,
        inner,
        None,
        None,
    ]
