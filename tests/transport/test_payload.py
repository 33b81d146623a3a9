"""Payloads are opened by whoever needs them, and one bad value does not hold up the others."""

import pickle

import numpy as np
import pytest

from papympi.errors import ShippingError
from papympi.model.item import Failure
from papympi.transport.payload import Payload, Unsendable


def test_payload_is_opened_late():
    """A payload travels and is opened late."""
    payload = pickle.loads(pickle.dumps(Payload([1, "a", None])))
    assert repr(payload) == "Payload(3 coded)"
    assert payload.values() == [1, "a", None]
    again = pickle.loads(pickle.dumps(payload))
    assert again.values() == [1, "a", None]


def test_big_buffers_are_not_copied():
    """Big buffers are not copied into the message."""
    array = np.arange(1 << 18)
    buffers = []
    body = pickle.dumps(Payload([array, b"x" * 100_000]), 5, buffer_callback=buffers.append)
    assert len(body) < 1000
    (values,) = (pickle.loads(body, buffers=[bytearray(buffer.raw()) for buffer in buffers]).values(),)
    assert (values[0] == array).all()
    assert values[1] == b"x" * 100_000


def test_live_values_are_cut():
    payload, start = Payload([1, 2, 3, 4]).cut(1, 3)
    assert (payload.values(), start) == ([2, 3], 0)
    coded = pickle.loads(pickle.dumps(Payload([1, 2, 3])))
    assert coded.cut(1, 2) == (coded, 1)


def test_unsendable_becomes_error():
    """A value that cannot be sent is replaced by its error."""
    payload = Payload([1, (i for i in "x"), 3])
    with pytest.raises(ShippingError):
        payload.encode()
    first, second, third = pickle.loads(pickle.dumps(payload)).values()
    assert (first, third) == (1, 3)
    assert isinstance(second, Unsendable)
    assert isinstance(second.error, ShippingError)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (1, True),
        ("text", True),
        (np.arange(10), True),
        (Unsendable(ValueError()), False),
        ([{"deep": Failure("node", (1,), ValueError(), "")}], False),
    ],
)
def test_opened_knows_of_failures(value, plain):
    """Whether there may be failures is known of what was opened."""
    payload = pickle.loads(pickle.dumps(Payload([0, value]), 5))
    assert not payload.is_plain()
    payload.values()
    assert payload.is_plain() is plain
    assert not Payload([value]).is_plain()
