"""Payloads are opened by whoever needs them, and one bad value does not hold up the others."""

import pickle

import numpy as np
import pytest

from papympi.errors import ShippingError
from papympi.model.item import Failure
from papympi.transport.payload import Payload, Unsendable


def test_a_payload_travels_and_is_opened_late():
    payload = pickle.loads(pickle.dumps(Payload([1, "a", None])))
    assert repr(payload) == "Payload(3 coded)"
    assert payload.values() == [1, "a", None]
    again = pickle.loads(pickle.dumps(payload))
    assert again.values() == [1, "a", None]


def test_big_buffers_are_not_copied_into_the_message():
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


def test_a_value_that_cannot_be_sent_is_replaced_by_its_error():
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
def test_whether_there_may_be_failures_is_known_of_what_was_opened(value, plain):
    payload = pickle.loads(pickle.dumps(Payload([0, value]), 5))
    assert not payload.is_plain()
    payload.values()
    assert payload.is_plain() is plain
    assert not Payload([value]).is_plain()
