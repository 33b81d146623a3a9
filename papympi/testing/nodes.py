"""The functions that the contract suite sends to workers."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from papympi.model.item import DROP

RECIPE: Final = "papympi_contract_recipe"
"""Name of a module that no worker can import."""

SOURCE: Final = """
from dataclasses import dataclass

calls = 0
OFFSET = 10


@dataclass
class Item:
    value: int


class Adder:
    def __init__(self, n):
        self.n = n

    def add(self, item):
        return Item(item.value + self.n)

    def __call__(self, item):
        return self.add(item)


def plain(item):
    global calls
    calls += 1
    assert isinstance(item, Item) and calls > 0
    return Item(item.value + OFFSET)


def make_closure(n):
    def closure(item):
        return Item(item.value + n)
    return closure


def power(exponent, item):
    return Item(item.value ** exponent)


doubled = lambda item: Item(2 * item.value)
"""
"""What is in it."""


def add_one(x: Any) -> Any:
    """Return `x + 1`."""
    return x + 1


def count_up(n: int) -> Iterator[Any]:
    """Yield 0 .. n - 1, without 1; 13 is bad luck."""
    for i in range(n):
        if i == 13:
            raise ValueError("bad luck")
        yield DROP if i == 1 else i


def check(x: int) -> Any:
    """Drop 2, refuse 3, leave with 4, return the rest."""
    if x == 3:
        raise ValueError("three")
    if x == 4:
        sys.exit(4)
    return DROP if x == 2 else x


def append(total: list[Any], x: Any) -> list[Any]:
    """Fold into a list."""
    if x == "bad":
        raise ValueError(x)
    return [*total, x]


def wait_for(path: str) -> bool:
    """Wait for a file and say whether it has come; after most of a minute without it, leave another that tells."""
    for _ in range(5000):
        if Path(path).exists():
            return True
        time.sleep(0.01)
    Path(f"{path}-missed").touch()
    return False


def crash(x: int) -> int:
    """End the process without a word at 2."""
    if x == 2:
        os._exit(3)
    return x


def get_length(data: bytearray) -> tuple[int, bytearray]:
    """Return the length of some data, changed in place, and the data."""
    data[0] = 1
    return len(data), data


def add_in_place(array: Any) -> Any:
    """Change an array where it is."""
    array += 1
    return array


def make_generator(x: Any) -> Any:
    """Return something that cannot be pickled for 1, else `x`."""
    return (i for i in range(x)) if x == 1 else x
