"""Digests of values that are the same in every process: by what a value is made of, not by where it lies.

A pickle will not do: it depends on which parts are the same object, and the order of a set on a random seed.
"""

from __future__ import annotations

import copyreg
import hashlib
import pickle
from collections.abc import Callable
from itertools import chain
from typing import Any, Final

from papympi.model.telling import to_digits

SIZE: Final = 16
"""Bytes of a digest."""

_ATOMS: Final = (int, float, complex, bool, type(None), type(...), range, slice)

_CONTAINERS: Final = (tuple, list, dict, set, frozenset)

Special = Callable[[Any], "Any | None"]
"""Returns what stands for a value (a tuple of other values), or `None` to leave it as it is."""


def digest(value: Any, special: Special | None = None) -> bytes:
    """Return the digest of a value.

    Args:
        value: anything; what cannot be taken apart counts by its type alone.
        special: says what stands for some values.
    """
    return _Digester(special).digest(value)


class _Digester:
    def __init__(self, special: Special | None) -> None:
        self._special = special
        self._open: dict[int, int] = {}

    def digest(self, value: Any) -> bytes:
        kind = type(value)
        if kind is str:
            return _hash(b"s", value.encode("utf-8", "surrogatepass"))
        if kind is bytes:
            return _hash(b"b", value)
        if kind in _ATOMS:
            return _hash(b"a", f"{kind.__name__}:{_say(value)}".encode())
        if id(value) in self._open:
            return _hash(b"o", str(len(self._open) - self._open[id(value)]).encode())
        self._open[id(value)] = len(self._open)
        try:
            return self._take_apart(value, kind)
        finally:
            del self._open[id(value)]

    def _take_apart(self, value: Any, kind: type) -> bytes:
        if kind in _CONTAINERS:
            parts = [self.digest(part) for part in (chain.from_iterable(value.items()) if kind is dict else value)]
            return _hash(kind.__name__.encode(), *(sorted(parts) if kind in (set, frozenset) else parts))
        if kind in (pickle.PickleBuffer, bytearray, memoryview):
            view = memoryview(value)
            return _hash(b"buffer", view.cast("B") if view.c_contiguous else view.tobytes())
        stand_in = self._special(value) if self._special is not None else None
        if stand_in is not None:
            return _hash(b"special", self.digest(stand_in))
        if isinstance(value, type) or (hasattr(value, "__qualname__") and hasattr(value, "__module__")):
            return _hash(b"name", f"{value.__module__}.{value.__qualname__}".encode())
        return self._reduce(value, kind)

    def _reduce(self, value: Any, kind: type) -> bytes:
        """Return the digest of an object: of what pickle would make it of."""
        name = f"{kind.__module__}.{kind.__qualname__}".encode()
        parts = _reduced(value, kind)
        if isinstance(parts, str) or parts is None:
            return _hash(b"object", name, (parts or "").encode())
        lists = [list(part) if number > 2 and part is not None else part for number, part in enumerate(parts[:5])]
        return _hash(b"object", name, *map(self.digest, lists))


def _say(value: Any) -> str:
    """Return the `repr` of a value without parts, with all digits of integers."""
    try:
        return repr(value)
    except ValueError:
        numbers = [value] if type(value) is int else [value.start, value.stop, value.step]
        return ",".join(to_digits(number) if type(number) is int else repr(number) for number in numbers)


def _reduced(value: Any, kind: type) -> Any:
    """Return what `__reduce_ex__` gives; `None` for what cannot be pickled."""
    reduce = copyreg.dispatch_table.get(kind)
    try:
        return value.__reduce_ex__(5) if reduce is None else reduce(value)
    except (TypeError, pickle.PicklingError, AttributeError, NotImplementedError):
        return None


def _hash(kind: bytes, *parts: Any) -> bytes:
    made = hashlib.blake2b(kind, digest_size=SIZE)
    for part in parts:
        made.update(len(part).to_bytes(8, "little"))
        made.update(part)
    return made.digest()
