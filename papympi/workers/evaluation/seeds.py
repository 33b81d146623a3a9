"""Random numbers that are the same on any pool: each item has a seed of its own."""

from __future__ import annotations

import random as stdlib_random
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from papympi.errors import StateError
from papympi.workers.evaluation.location import current

if TYPE_CHECKING:
    from numpy.random import SeedSequence

_WORD: Final = 4


def seed(number: int = 0) -> SeedSequence:
    """Return the seed sequence of the item at work, for `numpy.random.default_rng` and its like.

    It depends on the run's seed, the node's name and the item's key, and on nothing else: it is the same on every pool,
    with every stride, and when the item is tried again. Every call returns it afresh; a function that needs several
    takes `seed().spawn(n)`, once. A generator function has that of the item it was made for, a fold that of the item
    being folded, the factory of a fold that of the result, and a source that of the run.

    Args:
        number: which of the items that a vectorized function was given.

    Raises:
        StateError: the caller is no function of a node, or NumPy is not there.
    """
    entropy, digest = _identify(number)
    try:
        from numpy.random import SeedSequence
    except ImportError as error:
        raise StateError(
            "papympi.seed() makes a numpy.random.SeedSequence and needs NumPy; papympi.random() does without"
        ) from error
    words = [int.from_bytes(digest[at : at + _WORD], "little") for at in range(0, len(digest), _WORD)]
    return SeedSequence(entropy, spawn_key=words)


def random(number: int = 0) -> stdlib_random.Random:
    """Return random numbers of the standard library for the item at work, seeded as by `seed`, without NumPy.

    Every call begins them anew; a function calls it once.

    Args:
        number: which of the items that a vectorized function was given.

    Raises:
        StateError: the caller is no function of a node.
    """
    entropy, digest = _identify(number)
    return stdlib_random.Random(f"{entropy} {digest.hex()}")


def _identify(number: int) -> tuple[int, bytes]:
    """Return the run's seed, and what stands for the item at work."""
    location = current()
    if location is None:
        raise StateError("there is a seed only where an item is: in the function of a node, while a run calls it")
    node, key = location.locate(number)
    if key is None:
        raise StateError(
            f"there is a seed only where an item is, and {node or 'this'} has none: a resource belongs to a worker; "
            "take the seed in the node that uses it"
        )
    name = f"{node}\0{','.join(map(str, key))}"
    return location.seed, blake2b(name.encode(), digest_size=4 * _WORD).digest()
