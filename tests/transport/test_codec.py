"""Values survive the way to bytes and back; what does not is named."""

import sqlite3
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from papympi.errors import ShippingError
from papympi.transport import codec

SOME = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=10,
)


@given(st.lists(SOME))
def test_values_come_back(values):
    assert codec.decode(codec.encode(values)) == values


def test_big_arrays_go_beside():
    """Big arrays travel beside the pickle."""
    big, small = np.arange(1 << 16), np.arange(4)
    body, buffers = codec.encode([big, small])
    assert len(body) < 1000
    assert [memoryview(buffer).nbytes for buffer in buffers] == [big.nbytes]
    first, second = codec.decode((body, tuple(bytearray(buffer) for buffer in buffers)))
    assert (first == big).all()
    first += 1
    second += 1
    assert big[0] == small[0] == 0


def test_arrays_in_every_layout():
    values = [np.ones((200, 300), order="F"), np.ones((200, 300))[::2, ::3], np.array(3.0), np.zeros((0, 4))]
    for value, copy in zip(values, codec.decode(codec.encode(values)), strict=True):
        assert value.shape == copy.shape
        assert (value == copy).all()


def test_dill_takes_what_is_refused():
    """Dill takes what pickle refuses and is not imported before."""
    level = 4

    class Local:
        def __init__(self, n):
            self.n = n

    first, second, third = codec.decode(codec.encode([lambda x: x + level, Local(3), 5]))
    assert (first(1), second.n, third) == (5, 3, 5)
    big = np.ones(1 << 16)
    assert codec.encode([lambda: 0, big])[1][0].nbytes == big.nbytes


def test_common_case_without_dill():
    """The common case needs no dill."""
    import subprocess

    program = "import sys; from papympi.transport import codec; codec.encode([1]); sys.exit('dill' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


class Stubborn:
    def __getstate__(self):
        raise RuntimeError("not me")


class Holder:
    def __init__(self, held):
        self.held = held


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ((i for i in "x"), r"value 2 of 3, a generator: <generator"),
        (Stubborn(), r"value 2 of 3, a .*Stubborn: .*RuntimeError: not me"),
        ({"a": [1, Holder(i for i in "x")]}, r"fault is attribute 'held' of item 1 of item 'a' of it, a generator"),
    ],
)
def test_unsendable_is_named(bad, said):
    """What cannot be sent is named."""
    with pytest.raises(ShippingError, match=said) as caught:
        codec.encode([1, 2, bad])
    assert caught.value.__cause__ is not None
    assert len(str(caught.value)) < 1000


def test_too_deep_is_an_error():
    """What is nested too deeply is an error, too."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ShippingError, match="RecursionError"):
        codec.encode([deep])


def test_a_database_is_named():
    with sqlite3.connect(":memory:") as connection, pytest.raises(ShippingError, match=r"sqlite3\.Connection"):
        codec.encode([connection])
    connection.close()
