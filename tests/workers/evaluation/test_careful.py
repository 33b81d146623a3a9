"""A value that kills, or holds up, the worker that opens it costs its item, whatever takes it."""

import os
import time

import pytest

from papympi import Failure, Graph, ItemTimeout, WorkerLost, run

HOME = os.getpid()
GUARDED = ["processes:1", "mpi:1"]


def come_out(x, how, maker):
    if x == 5 and os.getpid() not in {maker, HOME}:
        {"dies": lambda: os._exit(3), "hangs": lambda: time.sleep(60), "raises": lambda: 1 / 0}[how]()
    return Value(x, how)


class Value:
    """Comes out of its pickle where it was made, and nowhere else."""

    def __init__(self, x, how):
        self.x, self.how, self.maker = x, how, os.getpid()

    def __reduce__(self):
        return come_out, (self.x, self.how, self.maker)


class Holder:
    """Holds one: its own class has no code for pickles."""

    def __init__(self, x, how):
        self.inside = [Value(x, how)]

    @property
    def x(self):
        return self.inside[0].x


def play(pool, take, kind=Value, how="dies", stride=4, **options):
    """Return what `take` makes of eight values, made on another pool, and the failures of the run."""
    graph = Graph("g")
    graph.add(lambda x: kind(x, how), name="made", inputs={"x": "x"}, pool="p", stride=stride)
    graph.add(take, name="used", inputs={"v": "made"}, pool="q", stride=stride, **options)
    pools = {"p": pool, "q": pool}
    running = run({"x": range(8)}, graph=graph, pools=pools, errors="keep", by_value=("__main__",))
    return [(e.node, e.key) if isinstance(e, Failure) else e for e in running], running.failures


def twice(v):
    yield v.x
    yield -v.x


LOST = ("used", (5,))
MAPPED = [0, 1, 2, 3, 4, LOST, 6, 7]
SCATTERED = [0, 0, 1, -1, 2, -2, 3, -3, 4, -4, LOST, 6, -6, 7, -7]


def add(total, v):
    return total + v.x


def unpack(v):
    return [each.x for each in v]


CASES = {
    "map": (lambda v: v.x, {}, MAPPED),
    "healed": (lambda v: v.x, {"on_error": lambda failure: repr(failure.key)}, [*MAPPED[:5], "(5,)", *MAPPED[6:]]),
    "dropped": (lambda v: v.x, {"on_error": "drop"}, [*MAPPED[:5], *MAPPED[6:]]),
    "heals deadly": (lambda v: v.x, {"on_error": lambda _: os._exit(3)}, MAPPED),
    "scatter": (twice, {}, SCATTERED),
    "healed scatter": (twice, {"on_error": lambda _: 0.5}, [0.5 if each == LOST else each for each in SCATTERED]),
    "fold": (add, {"fold": int}, [LOST]),
    "fold without": (add, {"fold": int, "on_error": "drop"}, [23]),
    "healed fold": (add, {"fold": int, "on_error": lambda failure: repr(failure.key)}, ["(5,)"]),
    "deadly fold": (add, {"fold": int, "on_error": lambda _: os._exit(3)}, [LOST]),
    "groups": (unpack, {"gather": 3}, [[0, 1, 2], ("used", (1,)), [6, 7]]),
}


@pytest.mark.parametrize(
    ("case", "kind"), [(case, (Value, Holder)[number % 2]) for number, case in enumerate(CASES)] + [("map", Holder)]
)
def test_a_value_that_kills(case, kind):
    """All of its payload was opened at once; in a scatter or a fold it was sent again and again, without an end."""
    take, options, expected = CASES[case]
    found, failures = play("processes:1", take, kind, **options)
    assert found == expected
    assert WorkerLost in [type(failure.error) for failure in failures]


@pytest.mark.parametrize(("case", "stride"), [("map", 8), ("map", 1), ("scatter", 8), ("fold without", 1)])
@pytest.mark.parametrize("pool", GUARDED)
def test_a_value_that_kills_anywhere(pool, case, stride):
    take, options, expected = CASES[case]
    assert play(pool, take, Holder, stride=stride, **options)[0] == expected


@pytest.mark.parametrize("how", ["hangs", "raises"])
@pytest.mark.parametrize("case", ["map", "healed", "scatter", "healed scatter", "fold", "fold without", "healed fold"])
def test_a_value_that_hangs_or_raises(case, how):
    """What heals an item was not asked if its input did not come out of its pickle."""
    take, options, expected = CASES[case]
    found, failures = play("processes:1", take, Holder, how, timeout=1, **options)
    assert found == expected
    assert isinstance(failures[0].error, ItemTimeout) == (how == "hangs")
    assert len(failures) == 1


@pytest.mark.parametrize("pool", ["inline", "threads:2", "asyncio", *GUARDED])
def test_healing_of_a_fold_that_hangs(pool):
    """The time-out of a fold was for its function; what heals it could keep the worker for ever."""
    graph = Graph("g")
    graph.add(
        lambda total, x: total / x,
        name="used",
        inputs={"x": "x"},
        pool="p",
        fold=int,
        on_error=lambda _: time.sleep(2 if pool == "inline" else 60),
        timeout=0.5,
    )
    [failure] = run({"x": range(3)}, graph=graph, pools={"p": pool}, errors="keep")
    assert isinstance(failure.error, ItemTimeout)
