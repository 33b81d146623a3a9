"""The tracebacks of failures, by every way in which papympi calls the user's functions, on every pool."""

import asyncio
import contextlib
import functools
import threading

import pytest

import papympi
from papympi import Graph, ResourceError, SetupError, run
from papympi.model.users_code import OWN


def plain(x, *_):
    raise ValueError(x)  # first


def decorate(function):
    @functools.wraps(function)
    def call(x):
        return function(x)  # first

    return call


@decorate
def decorated(x):
    plain(x)


@contextlib.contextmanager
def nothing():
    yield


@nothing()
def contextual(x):
    plain(x)  # first


def nested(x):
    return list(papympi.map(plain, [x], pool="inline"))  # first


def cause(x):
    try:
        plain(x)  # first
    except ValueError as error:
        raise KeyError(x) from error  # first


def group(x):
    raise ExceptionGroup("several", [ValueError(x), KeyError(x)])  # first


def recursion(x):
    return recursion(x) + 1  # first


def syntax(x):
    return compile("a b", "made", "exec")  # first


def vectorized(x):
    return [plain(each) for each in x]  # first


def scatter(x):
    plain(x)  # first
    yield x


async def waiting(x):
    await asyncio.sleep(0)
    plain(x)  # first


async def several(x):
    async with asyncio.TaskGroup() as tasks:  # first
        tasks.create_task(waiting(x))


class Unpicklable:
    """Outside the runner its pickle fails; inside nobody asks for it."""

    def __getstate__(self):
        plain(self)  # first


class Unloadable:
    def __reduce__(self):
        return plain, (1,)


def needs(x, broken):
    return x


def broken():
    plain(1)  # first


def fails(x):
    raise OSError  # first


def heal(failure):
    plain(failure.key)  # first


def pair(x):
    yield from [x] * 100  # a tree of folds has more than one branch


def folded(total, pair):
    return total + plain(pair)  # first


def begun(total, pair):
    return total


def begin():
    plain(1)  # first


def listed(pair, second):
    plain(pair)  # first


def second(pair):
    return pair


def joined(left, right):
    plain(left)  # first


FUNCTIONS = [plain, decorated, contextual, nested, cause, group, recursion, syntax, scatter, waiting, several]


@pytest.fixture(scope="module")
def graph():
    """Return a graph with a node for each way to call a function."""
    ways = Graph("ways")
    for function in FUNCTIONS:
        ways.add(function, pool="p", inputs={})
    ways.add(vectorized, pool="p", vectorized=True)
    ways.add(fails, pool="p", on_error=heal)
    ways.add(pair, pool="p")
    ways.add(begun, pool="p", fold=begin)
    ways.add(folded, pool="p", fold=int)
    ways.add(lambda total, pair: total, name="combined", pool="p", fold=int, combine=joined, stride=1)
    ways.add(second, pool="p")
    ways.add(listed, pool="p", gather=True)
    return ways


def chain(function):
    graph = Graph("chain")
    graph.add(function, name="step", inputs={"x": "x"}, pool="p")
    return graph


def tell_faults(text):
    """Return what is wrong with a traceback."""
    lines = [line.strip(" |") for line in text.splitlines()]
    files = [at for at, line in enumerate(lines) if line.startswith("File ")]
    faults = [line for line in lines if OWN in line]
    if not files or __file__ not in lines[files[0]] or "# first" not in lines[files[0] + 1]:
        faults.append(f"it does not begin at the user's line: {text}")
    return faults


@pytest.mark.parametrize("pool", ["inline", "threads:2", "asyncio", "processes:2"])
def test_every_way_to_call_a_function(graph, pool):
    """Tracebacks were cut at a folder of papympi: frames of its other folders, and of those further down, stayed."""
    wanted = {name for name in graph if name not in ("pair", "second")}
    with run({"x": [1]}, graph=graph, pools={"p": pool}, errors="keep") as running:
        list(running.results())
    found = {failure.node: tell_faults(failure.traceback) for failure in running.failures}
    assert found == {name: [] for name in wanted}


def test_values_that_cannot_travel():
    """What pickling and unpickling call is the user's, too."""
    values = papympi.map(lambda kind: kind(), [Unpicklable, Unloadable], pool="processes:1", errors="keep")
    assert [tell_faults(failure.traceback) for failure in values] == [[], []]


@pytest.mark.parametrize("pool", ["inline", "threads:1", "asyncio"])
def test_an_item_that_times_out(pool):
    """Of a thread that could not be interrupted nobody said where it was."""
    over = threading.Event()

    def hang(x):
        over.wait(30)  # first

    failure = next(iter(papympi.map(hang, [1], pool=pool, timeout=0.1, errors="keep")))
    assert tell_faults(failure.traceback) == []
    assert "ItemTimeout: it took longer than 0.1 s" in failure.traceback
    assert failure.error.__traceback__ is None
    over.set()


def test_inputs_resources_and_setups():
    """They are called by the runner, and by what prepares a worker."""

    def rows():
        yield 1
        plain(1)  # first

    with run({"x": rows()}, graph=chain(abs), pools={"p": "inline"}, errors="keep") as running:
        list(running)
    assert tell_faults(running.failures[0].traceback) == []
    needy = chain(needs)
    needy.resource(broken)
    with run({"x": [1]}, graph=needy, pools={"p": "inline"}, errors="keep") as running, pytest.raises(ResourceError):
        list(running)
    assert tell_faults(running.failures[0].traceback) == []
    failing = chain(abs)
    failing.setup(broken)
    with pytest.raises(SetupError) as caught:
        list(run({"x": [1]}, graph=failing, pools={"p": "threads"}))
    assert tell_faults(caught.value.text) == []
