"""What the functions of random nodes do with plain values: the same for those who call them and for the evaluator."""

from __future__ import annotations

import random
import zlib
from hashlib import blake2b
from typing import Any

from papympi import DROP
from tests.fuzz.specs import Spec

SEED = 5
"""The seed of all runs."""
HUGE = 17
"""One parent in so many has twenty times the children."""


def digest(*values: Any) -> int:
    """Return a number that depends on everything given, the same in every process."""
    return zlib.crc32(repr(values).encode())


def fails(spec: Spec, row: list[Any]) -> bool:
    """Say whether the call for a row of plain values fails."""
    return spec.fail > 0 and digest(spec.name, "fail", row) % spec.fail == 0


def choose_trouble(spec: Spec, row: list[Any]) -> str:
    """Return in which way it fails."""
    return spec.trouble[digest(spec.name, "kind", row) % len(spec.trouble)]


def count_stumbles(spec: Spec, row: list[Any]) -> int:
    """Return how often a call fails before it goes well."""
    return digest(spec.name, "stumble", row) % (spec.retries + 1) if spec.stumbles else 0


def value_of(spec: Spec, row: list[Any]) -> Any:
    """Return what a call makes of a row, if it goes well."""
    if spec.drop and digest(spec.name, "drop", row) % spec.drop == 0:
        return DROP
    return digest(spec.name, row)


def count_children(spec: Spec, row: list[Any]) -> int:
    """Return how many children a scatter makes of a row."""
    if spec.fan and digest(spec.name, "huge", row) % HUGE == 0:
        return spec.fan * 20
    return digest(spec.name, "fan", row) % (spec.fan + 1)


def fails_at(spec: Spec, row: list[Any]) -> int:
    """Return before which child a scatter fails that fails."""
    return 0 if spec.early else count_children(spec, row) // 2


def child_of(spec: Spec, row: list[Any], number: int) -> Any:
    """Return one child of a row."""
    if spec.drop and digest(spec.name, row, "drop", number) % spec.drop == 0:
        return DROP
    return digest(spec.name, row, number)


def row_of(name: str, number: int) -> int:
    """Return an item of an input or a source."""
    return digest(name, number)


def healed(node: str, key: tuple[int, ...]) -> int:
    """Return what `on_error` makes of a failure."""
    return digest("healed", node, tuple(key))


def seeded(name: str, key: tuple[int, ...]) -> float:
    """Return the first random number of an item, as `papympi.random()` gives it everywhere."""
    mark = blake2b(f"{name}\0{','.join(map(str, key))}".encode(), digest_size=16).digest()
    return random.Random(f"{SEED} {mark.hex()}").random()
