"""Every fault on every pool: what fails is what has to, the rest comes out right, and nothing is left running."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
import time
import warnings
from multiprocessing import resource_tracker

import loky.backend.resource_tracker
import pytest

from papympi import Failure, Graph, ItemTimeout, RemoteError, ShippingError, WorkerLost, run
from papympi.errors import ResourceError
from papympi.testing.driver import POOLS, of_two

SHARING = {"inline", "threads", "asyncio"}
GUARDED = {"processes", "mpi"}
PLACES = {
    **{name: of_two(name) for name in POOLS},
    **{name: {"backend": name, "workers": 2, "memory": "600 MB"} for name in POOLS if name in GUARDED},
    "mpi, not isolated": {"backend": "mpi", "workers": 2, "isolate": False},
    "asyncio": "asyncio",
    "loky": "loky:2",
}

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture(scope="module", autouse=True)
def _trackers():
    """Start what loky starts once and keeps until the interpreter ends."""
    resource_tracker.ensure_running()
    loky.backend.resource_tracker.ensure_running()


@pytest.fixture(params=PLACES)
def where(request):
    return request.param


def evaluate(where, inputs, build, **options):
    """Return what a run yields for `inputs`: values by position, and its failures by (node, key)."""
    graph = Graph("faults")
    build(graph)
    with run({"x": inputs}, graph=graph, pools={"pool": PLACES[where]}, errors="keep", **options) as running:
        values = list(running)
    assert ("abandoned" in str(running.summary)) == any("abandoned" in str(each.error) for each in running.failures)
    failures = {(failure.node, failure.key): failure for failure in running.failures}
    assert len(failures) == len(running.failures), "a failure was counted twice"
    return values, failures


def kinds_of(failures):
    return {place: type(failure.error) for place, failure in failures.items()}


class Demanding(Exception):
    """Its arguments are not those of its `__init__`."""

    def __init__(self, code, *, reason):
        super().__init__(f"code {code}")
        self.reason = reason


class Holding(Exception):
    """Cannot be pickled."""

    def __init__(self):
        super().__init__("holding")
        self.lock = threading.Lock()


class Sticky(Exception):
    """Can be pickled, and does not come out again."""

    def __reduce__(self):
        return stick, ()


def stick():
    raise ValueError("stuck")


def recurse(n):
    return recurse(n + 1)


def warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.warn("careful", UserWarning, stacklevel=1)


def throw(error):
    raise error


RAISING = {
    "plain": (lambda: throw(ValueError("bad")), ValueError),
    "required arguments": (lambda: throw(Demanding(1, reason="r")), (Demanding, RemoteError)),
    "not picklable": (lambda: throw(Holding()), (Holding, RemoteError)),
    "not unpicklable": (lambda: throw(Sticky()), (Sticky, RemoteError)),
    "exit": (lambda: throw(SystemExit(3)), SystemExit),
    "interrupt": (lambda: throw(KeyboardInterrupt()), KeyboardInterrupt),
    "stop": (lambda: throw(StopIteration(1)), (StopIteration, RuntimeError)),
    "generator exit": (lambda: throw(GeneratorExit()), GeneratorExit),
    "recursion": (lambda: recurse(0), RecursionError),
    "warning": (warn, UserWarning),
    "group": (lambda: throw(ExceptionGroup("two", [ValueError(1), OSError(2)])), ExceptionGroup),
}


def misbehave(x):
    if x in RAISING:
        RAISING[x][0]()
    return x


def test_raising_costs_the_item(where):
    """Whatever a function raises costs its item."""
    names = [name for name in RAISING if (where, name) != ("inline", "interrupt")]  # there Ctrl-C is the user's
    inputs = [item for name in names for item in ("well", name)]

    def build(graph):
        graph.add(misbehave, pool="pool", stride=5, inputs={"x": "x"})
        graph.add(lambda misbehave: misbehave.upper(), name="upper", pool="pool", stride=3)

    values, failures = evaluate(where, inputs, build)
    assert [value for value in values if type(value) is not Failure] == ["WELL"] * len(names)
    assert set(failures) == {("misbehave", (2 * i + 1,)) for i in range(len(names))}
    for number, name in enumerate(names):
        failure = values[2 * number + 1]
        assert isinstance(failure.error, RAISING[name][1]), name
        assert failure.input == repr(name)
        assert failure.attempts == 1
        assert failure.worker
        assert "misbehave" in failure.traceback, name


def test_unsendable_value_fails(where):
    """Values that cannot travel cost their item."""

    def answer(x):
        return (i for i in range(x)) if x == 3 else Sticky() if x == 5 else x

    values, failures = evaluate(where, range(8), lambda graph: graph.add(answer, pool="pool", stride=4))
    stay = {} if where in SHARING else {("answer", (3,)): ShippingError, ("answer", (5,)): ShippingError}
    assert kinds_of(failures) == stay
    assert [values[i] for i in (0, 1, 2, 4, 6, 7)] == [0, 1, 2, 4, 6, 7]


def test_unsendable_input_fails(where):
    """An input that cannot travel costs its item."""
    inputs = [1, (i for i in range(3)), 3]
    values, failures = evaluate(
        where, inputs, lambda graph: graph.add(lambda x: x is not None, name="there", pool="pool", stride=3)
    )
    assert [values[0], values[2]] == [True, True]
    assert kinds_of(failures) == ({} if where in SHARING else {("there", (1,)): ShippingError})


def test_exception_value_is_data(where):
    """An exception that is a value is data."""
    errors = [ValueError("data"), KeyError("data")]
    values, failures = evaluate(where, errors, lambda graph: graph.add(lambda x: x, name="same", pool="pool"))
    assert [(type(value), value.args) for value in values] == [(ValueError, ("data",)), (KeyError, ("data",))]
    assert not failures


def scatter_some(x):
    for child in range(4):
        if (x, child) == (2, 2):
            raise ValueError("third child of two")
        yield 10 * x + child


def fold_some(total, double):
    if double == 62:
        raise ValueError(double)
    total.append(double)
    return total


def test_failure_reaches_what_it_must(where):
    """A failure inside scatter, gather and fold reaches what it must."""

    def build(graph):
        graph.add(scatter_some, pool="pool", name="child")
        graph.add(lambda child: 2 * child if child != 11 else throw(OSError()), name="double", pool="pool", stride=3)
        graph.add(fold_some, name="folded", fold=list, pool="pool", stride=2)

    values, failures = evaluate(where, range(5), build)
    assert kinds_of(failures) == {
        ("child", (2,)): ValueError,
        ("double", (1, 1)): OSError,
        ("folded", (3, 1)): ValueError,
    }
    assert [values[0], values[4]] == [[0, 2, 4, 6], [80, 82, 84, 86]]
    assert [(value.node, value.key) for value in values[1:4]] == [
        ("double", (1, 1)),
        ("child", (2,)),
        ("folded", (3, 1)),
    ]


def test_gather_skips_if_told(where):
    """A gather skips failures if it is told to."""

    def build(graph):
        graph.add(lambda x: throw(ValueError()) if x == 4 else x, name="checked", pool="pool", stride=2)
        graph.add(lambda checked: checked, name="groups", gather=3, on_error="drop", pool="pool")

    values, failures = evaluate(where, range(7), build)
    assert values == [[0, 1, 2], [3, 5, 6]]
    assert kinds_of(failures) == {("checked", (4,)): ValueError}


def test_bad_vector_item_fails_alone(where):
    """One bad item of a vectorized batch fails alone."""

    def halve(x):
        if 13 in x:
            raise ValueError("unlucky")
        return [value / 2 for value in x]

    values, failures = evaluate(
        where, range(20), lambda graph: graph.add(halve, vectorized=True, pool="pool", stride=8)
    )
    assert kinds_of(failures) == {("halve", (13,)): ValueError}
    assert failures["halve", (13,)].input == "13"
    assert values[:13] + values[14:] == [x / 2 for x in range(20) if x != 13]


def test_failed_resource_tried_once(where, tmp_path):
    """A resource that no worker can make is tried once by each, and ends the run."""
    log = str(tmp_path / "log")

    def connection():
        with open(log, "a") as file:  # noqa: PTH123 - travels without pathlib
            file.write("tried\n")
        raise ConnectionError("no route")

    def build(graph):
        graph.resource(connection)
        graph.add(lambda x, connection: x, name="use", pool="pool", stride=1, inputs={"x": "x"})

    with pytest.raises(ResourceError, match="'connection'.*no route"):
        evaluate(where, range(30), build)
    assert 1 <= (tmp_path / "log").read_text().count("tried") <= 2


def test_retries_until_it_works(where, tmp_path):
    """Items that fail for a while are tried again."""
    folder = str(tmp_path)

    def fetch(x):
        with open(f"{folder}/{x}", "a+") as file:  # noqa: PTH123 - travels without pathlib
            file.write("x")
            tries = file.tell()
        if x == 7 or tries <= x % 3:
            raise ConnectionError(x)
        if x == 8:
            raise KeyError(x)
        return x

    def build(graph):
        graph.add(fetch, pool="pool", stride=4, retries=2, retry_on=ConnectionError, backoff=0.01)
        graph.add(lambda fetch: fetch, name="after", pool="pool")

    values, failures = evaluate(where, range(9), build)
    assert values[:7] == list(range(7))
    assert kinds_of(failures) == {("fetch", (7,)): ConnectionError, ("fetch", (8,)): KeyError}
    assert {key: failure.attempts for (_, key), failure in failures.items()} == {(7,): 3, (8,): 3}
    assert {int(path.name): len(path.read_text()) for path in tmp_path.iterdir()} == {
        x: 3 if x in (7, 8) else 1 + x % 3 for x in range(9)
    }


def test_generator_begins_again(where, tmp_path):
    """A generator that fails is begun again behind its delivered children."""
    marker = str(tmp_path / "failed before")

    def children(x):
        for child in range(6):
            if (x, child) == (1, 4) and not os.path.exists(marker):  # noqa: PTH110 - travels without pathlib
                open(marker, "x").close()  # noqa: PTH123 - likewise
                raise OSError("a moment of weakness")
            yield 10 * x + child

    def build(graph):
        graph.add(children, pool="pool", retries=1, backoff=0.01)
        graph.add(lambda children: children, name="same", pool="pool", stride=2)

    values, failures = evaluate(where, range(3), build, admission=4)
    assert values == [10 * x + child for x in range(3) for child in range(6)]
    assert not failures


def loop():
    while True:
        pass


def read_nothing():
    ends = os.pipe()
    try:
        os.read(ends[0], 1)
    finally:
        for end in ends:
            os.close(end)


def be_deaf():
    end = time.monotonic() + 600
    while time.monotonic() < end:
        with contextlib.suppress(BaseException):  # what a function should not do, and some do
            time.sleep(600)


SLOW = {
    "sleep": lambda: time.sleep(600),
    "loop": loop,
    "read": read_nothing,
    "deaf": be_deaf,
    "busy in C": lambda: sum(range(10**15)),
}


def dawdle(x):
    if x in SLOW:
        SLOW[x]()
    return x


@pytest.mark.timeout(180)
def test_slow_item_fails_alone(where):
    """An item that takes too long fails, and its neighbours do not."""
    slow = {
        "inline": ["sleep", "loop", "read"],
        "asyncio": ["sleep", "loop", "deaf"],
        "mpi, not isolated": ["sleep", "loop", "read"],
        "threads": ["sleep", "loop", "deaf"],
        "loky": ["sleep", "busy in C"],  # whatever cannot be interrupted costs it an executor, and a search
    }.get(where, list(SLOW))
    inputs = [item for name in slow for item in ("well", name, "well", "well")]

    def build(graph):
        graph.add(dawdle, pool="pool", stride=4, timeout=0.5, inputs={"x": "x"})
        graph.add(lambda dawdle: dawdle.upper(), name="upper", pool="pool", stride=4)

    values, failures = evaluate(where, inputs, build)
    assert kinds_of(failures) == {("dawdle", (4 * i + 1,)): ItemTimeout for i in range(len(slow))}
    assert [value for value in values if type(value) is not Failure] == ["WELL"] * 3 * len(slow)
    assert all("longer than 0.5 s" in str(failure.error) for failure in failures.values())
    assert [values[4 * i + 1].input for i in range(len(slow))] == [repr(name) for name in slow]


@pytest.mark.timeout(180)
def test_waiting_batches_come_out(where):
    """Batches without a timeout that wait behind some that are stuck come out."""
    if where == "inline":
        slow = "sleep"  # whatever it cannot interrupt stops it
    else:
        slow = "sleep" if where == "mpi, not isolated" else "deaf" if where in SHARING else "busy in C"
    inputs = ["well", slow, slow, *["well"] * 7]

    def build(graph):
        graph.add(dawdle, pool="pool", stride=1, timeout=0.3, inputs={"x": "x"})
        graph.add(lambda x: x.upper(), name="upper", pool="pool", stride=1)

    graph = Graph("stuck")
    build(graph)
    with run({"x": inputs}, graph=graph, pools={"pool": PLACES[where]}, errors="keep") as running:
        values = running.tee()
        dawdled, uppers = list(values["dawdle"]), list(values["upper"])
    assert uppers == [word.upper() for word in inputs]
    assert [type(value) is Failure for value in dawdled] == [word != "well" for word in inputs]
    assert [type(dawdled[i].error) for i in (1, 2)] == [ItemTimeout] * 2


def die(x):
    if x == "exit":
        os._exit(3)
    elif x == "segfault":
        ctypes.string_at(0)
    elif x == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif x == "abort":
        os.abort()
    elif x == "thread":
        threading.Thread(target=os._exit, args=(9,)).start()
        time.sleep(60)
    return x


DEATHS = {"exit": "exit code 3", "segfault": "SIGSEGV", "kill": "SIGKILL", "abort": "SIGABRT", "thread": "exit code 9"}


@pytest.mark.parametrize("where", [*sorted(GUARDED), "loky"])
def test_killer_item_fails_alone(where):
    """An item that kills its worker fails alone."""
    deaths = DEATHS if where in GUARDED else ["exit"]
    inputs = [item for name in deaths for item in ("well", name, "well")]

    def build(graph):
        graph.add(die, pool="pool", stride=3, inputs={"x": "x"})
        graph.add(lambda die: die.upper(), name="upper", pool="pool", stride=3)

    values, failures = evaluate(where, inputs, build)
    assert kinds_of(failures) == {("die", (3 * i + 1,)): WorkerLost for i in range(len(deaths))}
    assert [value for value in values if type(value) is not Failure] == ["WELL"] * 2 * len(deaths)
    if where in GUARDED:
        reasons = [str(values[3 * i + 1].error) for i in range(len(deaths))]
        assert all(reason in text for reason, text in zip(DEATHS.values(), reasons, strict=True))
    assert [values[3 * i + 1].input for i in range(len(deaths))] == [repr(name) for name in deaths]


@pytest.mark.parametrize("where", sorted(GUARDED))
def test_hungry_item_fails_alone(where):
    """An item that needs too much memory fails alone and says how much there was."""

    def allocate(x):
        return len(bytearray(x << 20))

    values, failures = evaluate(
        where, [1, 4000, 2], lambda graph: graph.add(allocate, pool="pool", stride=3, inputs={"x": "x"})
    )
    assert [values[0], values[2]] == [1 << 20, 2 << 20]
    assert kinds_of(failures) == {("allocate", (1,)): MemoryError}
    assert "600 MB" in failures["allocate", (1,)].traceback


@pytest.mark.parametrize("where", sorted(GUARDED))
def test_loss_in_scatter_or_fold(where):
    """A worker lost in a scatter or a fold costs what it was at."""

    def children(x):
        for child in range(5):
            if (x, child) == (2, 3):
                os._exit(4)
            yield 10 * x + child

    def total(acc, children):
        if children == 31:
            os._exit(5)
        return acc + children

    def build(graph):
        graph.add(children, pool="pool", inputs={"x": "x"})
        graph.add(total, fold=int, pool="pool", stride=2)

    values, failures = evaluate(where, range(5), build, admission=6)
    assert kinds_of(failures) == {("children", (2,)): WorkerLost, ("total", (3, 1)): WorkerLost}
    assert [values[i] for i in (0, 1, 4)] == [sum(range(10 * i, 10 * i + 5)) for i in (0, 1, 4)]


@pytest.mark.parametrize("where", sorted(GUARDED))
def test_killer_once_is_tried_again(where, tmp_path):
    """An item that killed its worker once is tried again."""
    folder = str(tmp_path)

    def touchy(x):
        path = f"{folder}/{x}"
        if x % 3 == 0 and not os.path.exists(path):  # noqa: PTH110 - travels without pathlib
            open(path, "x").close()  # noqa: PTH123 - likewise
            os._exit(3)
        return x

    values, failures = evaluate(
        where,
        range(10),
        lambda graph: graph.add(touchy, pool="pool", stride=5, retries=1, backoff=0.01, inputs={"x": "x"}),
    )
    assert values == list(range(10))
    assert not failures


@pytest.mark.parametrize("where", sorted(GUARDED))
def test_crash_in_vector_costs_one(where):
    """A crash in a vectorized batch costs one item."""

    def invert(x):
        if 5 in x:
            os._exit(3)
        return [-value for value in x]

    values, failures = evaluate(
        where, range(12), lambda graph: graph.add(invert, vectorized=True, pool="pool", stride=6)
    )
    assert kinds_of(failures) == {("invert", (5,)): WorkerLost}
    assert values[:5] + values[6:] == [-x for x in range(12) if x != 5]
