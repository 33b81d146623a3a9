"""Kinds of objects that pickle and dill would break, or refuse, arrive as they should."""

import concurrent.futures
import contextvars
import functools
import io
import pickle
import queue
import subprocess
import sys
import threading
import typing
import weakref

import pytest

from papympi.errors import ShippingError
from papympi.transport.pickling import Reducer
from tests.transport.test_pickling import send

Outer = typing.NewType("Outer", int)
T = typing.TypeVar("T")


def copy(value):
    return pickle.loads(send(value, Reducer(frozenset())))


def is_open(lock):
    taken = lock.acquire(timeout=5)
    lock.release()
    return taken


@pytest.mark.parametrize(
    "make", [threading.Lock, threading.RLock, threading.Condition, threading.Semaphore, threading.BoundedSemaphore]
)
def test_held_locks_arrive_open(make):
    lock = make()
    lock.acquire()
    there = copy([lock, lock])
    assert is_open(there[0])
    assert there[0] is there[1]


def test_a_condition_keeps_its_lock():
    lock = threading.RLock()
    there, condition = copy((lock, threading.Condition(lock)))
    assert condition._lock is there


def test_a_bound_is_kept():
    semaphore = threading.BoundedSemaphore(2)
    semaphore.acquire()
    there = copy(semaphore)
    assert there.acquire(timeout=5)
    assert there.acquire(timeout=5)
    assert not there.acquire(blocking=False)


def test_an_event_keeps_its_flag():
    event = threading.Event()
    assert not copy(event).is_set()
    event.set()
    assert copy(event).wait(5)


def test_a_barrier_lets_as_many_pass():
    assert copy(threading.Barrier(3)).parties == 3


def test_queues_keep_what_is_in_them():
    full = queue.PriorityQueue(2)
    full.put(2)
    full.put(1)
    there = copy(full)
    assert there.full()
    assert there.get(timeout=5) == 1


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_standard_streams_are_ones_own(name):
    assert copy([getattr(sys, name)])[0] is getattr(sys, name)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: threading.Timer(1, print), "a thread"),
        (concurrent.futures.Future, "a future"),
        (concurrent.futures.ThreadPoolExecutor, "an executor"),
        (contextvars.Context, "a context"),
        (lambda: io.TextIOWrapper(io.BytesIO()), "an open file"),
        (lambda: weakref.proxy(Reducer), "a weak proxy"),
    ],
)
def test_what_is_local_is_refused(make, said):
    """Also in a value, which dill would carry."""
    with pytest.raises(ShippingError, match=said):
        send({"deep": [make()]})


def test_running_programs_are_refused():
    with (
        subprocess.Popen(["sleep", "0"]) as program,
        pytest.raises(ShippingError, match="a running program: it belongs to one process"),
    ):
        send(program)


def test_new_types_are_found_or_made():
    local = typing.NewType("local", Outer)
    assert copy(Outer) is Outer
    there = copy(local)
    assert (there.__name__, there.__supertype__, there(3)) == ("local", Outer, 3)


def test_type_variables_are_found_or_made():
    local = typing.TypeVar("local", int, str)
    parameters = typing.ParamSpec("parameters")
    assert copy(T) is T
    assert copy(local).__constraints__ == (int, str)
    assert copy(parameters).__name__ == "parameters"
    assert copy(typing.TypeVarTuple("many")).__name__ == "many"


def test_a_context_variable_is_one():
    variable, bare = contextvars.ContextVar("one", default=5), contextvars.ContextVar("two")
    assert copy([variable, bare]) == [variable, bare]


def test_cached_functions_begin_empty():
    def double(x):
        return 2 * x

    cached = functools.lru_cache(maxsize=2, typed=True)(double)
    cached.unit = "m"
    cached(1)
    there = copy(cached)
    assert (there(2), there.unit, there.cache_info().currsize) == (4, "m", 1)
    assert there.cache_parameters() == {"maxsize": 2, "typed": True}


def test_a_cached_function_may_call_itself():
    @functools.cache
    def count(n):
        return 0 if n == 0 else 1 + count(n - 1)

    assert copy(count)(5) == 5


def test_descriptors_of_ones_own():
    class Own(property):
        pass

    class Method(staticmethod):
        pass

    def three(_instance=None):
        return 3

    own = Own(three, doc="three")
    own.unit = "m"
    there, method = copy((own, Method(three)))
    assert (there.fget(), there.__doc__, there.unit) == (3, own.__doc__, "m")
    assert method.__func__() == 3


def test_weak_mappings_keep_what_is_held():
    held = Reducer()
    there, mapping, keys = copy((held, weakref.WeakValueDictionary(a=held), weakref.WeakKeyDictionary({held: 1})))
    assert mapping["a"] is there
    assert keys[there] == 1


def test_a_reference_of_a_program_stays():
    held = Reducer()
    assert copy([weakref.ref(held)])[0]() is not None
