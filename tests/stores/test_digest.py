"""A digest is the same in every process, and another for another value."""

import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from papympi.stores.digest import digest

SHOWN = (
    "from papympi.stores.digest import digest; print(digest([{'a', 'b', 'c'}, frozenset('xyz'), {'k': {1, 2}}]).hex())"
)


def test_order_of_sets_is_no_matter():
    """The order of sets does not count."""
    found = {
        subprocess.run(
            [sys.executable, "-c", SHOWN], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


class Point:
    def __init__(self, x):
        self.x = x


def endless():
    value = [1]
    value.append(value)
    return value


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x, str, lambda x: [x], lambda x: (x,), lambda x: {x}, lambda x: {x: 1}, Point,
        lambda x: np.arange(x + 100), lambda x: np.arange(20).reshape(4, 5)[:, x % 5], lambda x: Path(f"a/{x}"),
        lambda x: OrderedDict(a=x), lambda x: [endless(), x], lambda x: bytes([x]), np.float64,
    ],
)  # fmt: skip
def test_equal_values_equal_digests(make):
    """Equal values have equal digests, and others others."""
    assert digest(make(3)) == digest(make(3))
    assert digest(make(3)) != digest(make(4))


def test_identity_does_not_count():
    text = "".join(["a", "b"])
    assert digest([text, text]) == digest(["ab", "".join(["a", "b"])])
    assert digest([1, 2]) != digest((1, 2))
    assert digest([1, [2]]) != digest([[1], 2])
    assert digest(True) != digest(1)


def test_unpicklable_told_by_kind():
    """What cannot be pickled is told by its kind."""
    assert digest(number for number in range(3)) == digest(number for number in range(3))
    assert digest(number for number in range(3)) != digest(iter([0, 1, 2]))
