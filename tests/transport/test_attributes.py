"""Objects that answer for others, or that say that they go by a name, arrive with their attributes."""

import pickle

from papympi.transport.attributes import take_apart
from papympi.transport.pickling import Reducer
from tests.transport.test_pickling import send


class Proxy:
    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


class Slotted:
    __slots__ = ("inner",)

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


class Careful(Proxy):
    def __setstate__(self, state):
        self.inner = "of its own"


class Handle:
    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return "somewhere"


class Bytes(bytes):
    def __reduce__(self):
        return "somewhere"


def copy(value):
    return pickle.loads(send(value, Reducer(frozenset())))


def test_a_proxy_is_not_asked_too_early():
    assert copy(Proxy("text")).upper() == "TEXT"


def test_slots_are_filled():
    assert copy(Slotted("text")).upper() == "TEXT"


def test_who_sets_its_state_is_asked():
    assert copy(Careful("text")).inner == "of its own"


def test_a_proxy_may_hold_itself():
    proxy = Proxy([])
    proxy.inner.append(proxy)
    there = copy(proxy)
    assert there.inner[0] is there


def test_a_name_that_is_not_there_is_no_name():
    assert copy(Handle([1])).value == [1]


def test_more_than_attributes_stays():
    assert take_apart(Bytes(b"x")) is None
