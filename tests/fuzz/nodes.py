"""The functions of random nodes, which check, nap, stumble, fail and die as their spec says; they run on workers."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import papympi
from papympi import DROP
from tests.fuzz import rules
from tests.fuzz.rules import digest
from tests.fuzz.specs import Spec
from tests.fuzz.troubles import STUMBLES, TROUBLES, Bad
from tests.fuzz.values import dress, read_row


def stumble(spec: Spec, row: list[Any]) -> None:
    """Fail if it is not the item's turn to go well; tries are counted in files, since any process may try."""
    times = rules.count_stumbles(spec, row)
    if not times:
        return
    with Path(spec.state, str(digest(spec.name, row))).open("ab") as file:
        file.write(b"x")
        tries = file.tell()
    if tries <= times:
        STUMBLES[spec.stumble](spec, row)


def nap(spec: Spec) -> None:
    """Sleep now and then, so that items overtake each other."""
    if spec.nap and random.random() < 0.1:
        time.sleep(random.random() * spec.nap)


def answer(spec: Spec, row: list[Any], number: int = 0) -> Any:
    """Do what the spec says with one row of plain values."""
    nap(spec)
    stumble(spec, row)
    if rules.fails(spec, row):
        return TROUBLES[rules.choose_trouble(spec, row)](spec, row)
    found = rules.value_of(spec, row)
    if spec.seeded and found is not DROP:
        found = digest(found, papympi.random(number).random())
    return dress(spec, found)


def call_map(spec, *values):
    """Call a map, a gather or a group."""
    return answer(spec, read_row(spec, values))


def call_with_resource(spec, *values, resource):
    """Call a map that takes a resource."""
    assert resource == "resource"
    return call_map(spec, *values)


async def await_map(spec, *values):
    """Call a map that waits."""
    if spec.nap and random.random() < 0.1:
        await asyncio.sleep(random.random() * spec.nap)
    return call_map(spec, *values)


def call_vectorized(spec, *values):
    """Call a vectorized map."""
    rows = [read_row(spec, row) for row in zip(*values, strict=True)]
    return [answer(spec, row, number) for number, row in enumerate(rows)]


async def await_vectorized(spec, *values):
    """Call a vectorized map that waits."""
    await asyncio.sleep(0)
    return call_vectorized(spec, *values)


def scatter(spec, *values):
    """Yield the children of an item."""
    row = read_row(spec, values)
    count, bad = rules.count_children(spec, row), rules.fails(spec, row)
    for child in range(count):
        if child == count // 2:
            stumble(spec, row)
        if bad and child == rules.fails_at(spec, row):
            TROUBLES[rules.choose_trouble(spec, row)](spec, row)
        if not child % 64:
            nap(spec)
        yield dress(spec, rules.child_of(spec, row, child))


async def await_scatter(spec, *values):
    """Yield the children of an item, and wait between them."""
    for child in scatter(spec, *values):
        if random.random() < 0.05:
            await asyncio.sleep(0)
        yield child


def fold(spec, total, *values):
    """Fold an item into an accumulator."""
    row = read_row(spec, values)
    nap(spec)
    if isinstance(total, list):
        total.append(digest(spec.name, row))  # before it fails: what is half done is not to be seen
    if rules.fails(spec, row):
        TROUBLES[rules.choose_trouble(spec, row)](spec, row)
    return total if isinstance(total, list) else (*total, digest(spec.name, row))


async def await_fold(spec, total, *values):
    """Fold an item, and wait."""
    await asyncio.sleep(0)
    return fold(spec, total, *values)


def combine(left, right):
    """Join two accumulators."""
    assert not isinstance(left, int)  # a part that was healed cannot be joined with others
    return left + right


def heal(failure):
    """Make a value of a failure."""
    return rules.healed(failure.node, failure.key)


def source(spec):
    """Yield the rows of a source."""
    for number in range(spec.size):
        if spec.fail and number == spec.size // 2:
            raise Bad(spec.name)
        yield dress(spec, rules.row_of(spec.name, number))


async def await_source(spec):
    """Yield the rows of a source that waits."""
    for value in source(spec):
        await asyncio.sleep(0)
        yield value


def good_resource():
    """Make a resource."""
    return "resource"


def yielded_resource():
    """Make a resource, and take it down."""
    yield "resource"


def bad_resource():
    """Raise instead of making one."""
    raise OSError("no resource")


RESOURCES = {"good": good_resource, "yields": yielded_resource, "bad": bad_resource}
