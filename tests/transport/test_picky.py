"""Some of the values of a pickled list are opened, the others stay in it: one of them may kill."""

import collections
import pickle

import numpy as np
import pytest

from papympi.transport.payload import Unsendable, encode
from papympi.transport.picky import find_begins, pick

made = []


class Noted:
    """Is seen when it comes out of its pickle."""

    def __init__(self, x):
        self.x = x

    def __setstate__(self, state):
        self.__dict__.update(state)
        made.append(self.x)


SHARED = Noted(99)
VALUES = [
    Noted(1), {"a": [1, Noted(2)]}, (Noted(3), 1, 2, 3), 5, "t", SHARED, [SHARED, 1], np.arange(3), None, {1},
    lambda x: x, Noted(4), frozenset([Noted(7)]), collections.OrderedDict(a=Noted(8)),
]  # fmt: skip
OPENED = {0: [1], 1: [2], 2: [3], 5: [99], 6: [99], 11: [4], 12: [7], 13: [8]}


def open_some(values, *wanted):
    """Return some values, and of which the machine has said that it makes them now."""
    body, buffers = encode(values)
    noted = []
    made.clear()
    found = pick(bytes(body), buffers, wanted, noted.append, Unsendable)
    return [found[number] for number in wanted], noted


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_only_what_is_wanted_is_made(number):
    [value], noted = open_some(VALUES, number)
    assert made == OPENED.get(number, [])
    assert type(value) is type(VALUES[number])
    assert noted[0] == number


def test_what_is_shared_is_made_too():
    """A value that refers to an object of another one needs that."""
    [value], noted = open_some(VALUES, 6)
    assert (value[0].x, value[1]) == (99, 1)
    assert noted == [6, 5, 6]


@pytest.mark.parametrize("values", [[], [Noted(1)], list(range(2500)), VALUES * 90, [[1, [2]]] * 3])
def test_finds_each_value(values):
    """Long lists come in parts of a thousand; of one value there is no mark."""
    assert len(list(find_begins(bytes(encode(values)[0])))) == len(values)


class Bad:
    def __reduce__(self):
        return int, ("x",)


def test_what_raises_is_replaced():
    values, _ = open_some([1, Bad(), Bad(), 3], 0, 1, 3)
    assert (values[0], values[2]) == (1, 3)
    assert isinstance(values[1].error, ValueError)


def test_damaged_pickle():
    with pytest.raises((pickle.UnpicklingError, ValueError, EOFError)):
        pick(b"\x80\x05](K", [], [0], print, Unsendable)
