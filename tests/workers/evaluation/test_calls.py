"""Whatever an item's exception is like, it is a failure of this item alone, on every pool."""

import os

import pytest

from papympi import Failure, Graph, RemoteError, run
from papympi.formats.output_files import encode_failure, write_whole
from papympi.stores.failures import read_failures

PLACES = ["inline", "threads:2", "asyncio", "processes:2", "mpi:2", "loky:2"]
HOME = os.getpid()


class Bad(Exception):
    def __str__(self):
        return "code %d: %s" % self.args  # noqa: UP031 - the slip is the point


class Leaves(Exception):
    def __str__(self):
        raise SystemExit(3)


class Endless(Exception):
    def __str__(self):
        return f"again {self}"


class Long(Exception):
    def __str__(self):
        return "mm/" * 300_000


class Loud(Exception):
    def __str__(self):
        return "\x1b[2J\ud800"


class OddNotes(Exception):
    @property
    def __notes__(self):
        raise OSError("no notes")


class OddAttributes(Exception):
    def __getattr__(self, name):
        raise SystemExit(name)


class Odd(Exception):
    __eq__ = __hash__ = __bool__ = lambda *_: 1 / 0


class Circle(Exception):
    def __init__(self, *args):
        super().__init__(*args)
        self.__cause__ = ValueError("another")
        self.__cause__.__cause__ = self


class LeavesWhenPickled(Exception):
    def __reduce__(self):
        raise SystemExit(3)


class LeavesOutOfPickle(Exception):
    def __reduce__(self):
        return leave, ()


def leave():
    raise SystemExit(3)


class BadAtHome(Exception):
    """Comes out of its pickle in a worker only."""

    def __reduce__(self):
        return make_away, ()


def make_away():
    if os.getpid() == HOME:
        raise LookupError("not here")
    return BadAtHome()


KINDS = [
    *(Bad, Leaves, Endless, Long, Loud, OddNotes, OddAttributes, Odd, Circle),
    *(LeavesWhenPickled, LeavesOutOfPickle, BadAtHome),
]


def fail(x):
    if x % 2:
        raise KINDS[x // 2](x)
    return x


@pytest.mark.parametrize("place", PLACES)
def test_any_exception_is_a_failure(place, tmp_path):
    """An exception was asked for its text, pickle and causes by code that ended the run when it raised."""
    graph = Graph("g")
    graph.add(fail, name="n", inputs={"x": "x"}, pool="p")
    items = range(2 * len(KINDS))
    found = list(run({"x": items}, graph=graph, pools={"p": place}, errors="keep", journal=tmp_path / "run"))
    assert [value for value in found if not isinstance(value, Failure)] == list(items)[::2]
    failures = found[1::2]
    for failure, kind in zip(failures, KINDS, strict=True):
        assert type(failure.error) is kind or failure.error.kind.endswith(kind.__name__)
        assert kind.__name__ in failure.traceback
        assert len(failure.traceback) < 50_000
        assert "\x1b" not in failure.traceback + str(failure.to_error())
    write_whole(tmp_path / "failures.jsonl", map(encode_failure, failures))
    told = {failure.key: str(failure.error) for failure in read_failures(tmp_path / "run")}
    assert told[1,].startswith("<str() of Bad raised TypeError")
    assert set(told) == {failure.key for failure in failures}


@pytest.mark.parametrize("place", PLACES)
def test_any_exception_is_in_the_summary(place):
    graph = Graph("g")
    graph.add(fail, name="n", inputs={"x": "x"}, pool="p")
    running = run({"x": range(2 * len(KINDS))}, graph=graph, pools={"p": place}, errors="drop")
    list(running)
    told = str(running.summary)
    assert "<str() of Bad raised TypeError: not enough arguments for format string>" in told
    assert "\x1b" not in told
    told.encode()
    assert max(map(len, told.splitlines())) < 3000


@pytest.mark.parametrize("place", PLACES)
def test_any_exception_can_be_raised(place):
    graph = Graph("g")
    graph.add(fail, name="n", inputs={"x": "x"}, pool="p", stride=1)
    with pytest.raises(Exception, match="raised TypeError: not enough arguments"):
        list(run({"x": range(6)}, graph=graph, pools={"p": place}))


@pytest.mark.parametrize("place", ["processes:2", "mpi:2"])
def test_an_exception_only_workers_can_make(place):
    """It is unpickled where the results are wanted, too."""
    graph = Graph("g")
    graph.add(fail, name="n", inputs={"x": "x"}, pool="p")
    [failure] = run({"x": [2 * KINDS.index(BadAtHome) + 1]}, graph=graph, pools={"p": place}, errors="keep")
    assert type(failure.error) is RemoteError
    assert failure.error.kind == f"{__name__}.BadAtHome"
