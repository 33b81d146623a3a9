"""Data that a worker gets for the globals of modules that it has loaded itself, and how it is compared with its own."""

from __future__ import annotations

import contextlib
import copyreg
import pickle
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final, NamedTuple

from papympi.errors import ShippingError
from papympi.model.telling import tell_error
from papympi.transport.payload import Buffer, sort_out

CODE: Final = (FunctionType, MethodType, type, ModuleType, staticmethod, classmethod, property, partial)
_LIGHT: Final = 1024
"""A pickle of so many bytes is compared as it is."""
_HEAVY: Final = 4 << 20
"""Data of more bytes is not compared with what a worker has."""


class LoadedData(NamedTuple):
    """Globals of modules that the worker loads itself, as the runner has them.

    Attributes:
        places: module and name of each, and what its pickle is known by; `None`: it is too big to be compared.
        body: the pickle of all, so that what is one object here is one there.
        start: of its buffers, among those of the program.
        stop: their end.
    """

    places: tuple[tuple[str, str, bytes | None], ...]
    body: bytes
    start: int
    stop: int

    def apply(self, buffers: Sequence[Buffer]) -> None:
        """Let the worker's modules have the values; what is the same already stays."""
        values: list[Any] = pickle.loads(self.body, buffers=buffers[self.start : self.stop])
        kept: dict[int, Any] = {}
        for (module, name, mark), value in zip(self.places, values, strict=True):
            old = _get(module, name, self)
            if (mark is not None and old is not self and find_mark(try_pickle(old)) == mark) or _take_over(old, value):
                kept[id(value)] = old
        for (module, name, _), value in zip(self.places, values, strict=True):
            home, _, last = name.rpartition(".")
            target = getattr(sys.modules[module], home) if home else sys.modules[module]
            setattr(target, last, kept.get(id(value), value))


def _get(module: str, name: str, default: Any) -> Any:
    """Return what a module, or a class in it, has under a name."""
    home, _, last = name.rpartition(".")
    return vars(getattr(sys.modules[module], home) if home else sys.modules[module]).get(last, default)


def try_pickle(value: Any) -> list[Any] | None:
    """Return the plain pickle of a value and its big buffers, `None` if there is none."""
    big: list[memoryview] = []
    with contextlib.suppress(ShippingError):
        return [_pickle(value, big), *big]
    return None


def _pickle(value: Any, big: list[memoryview]) -> bytes:
    """Return the plain pickle of a value; big buffers go onto a list."""
    try:
        return pickle.dumps(value, 5, buffer_callback=sort_out(big))
    except Exception as error:
        raise ShippingError(tell_error(error)) from error


def count_bytes(parts: Iterable[Any]) -> int:
    """Return how many bytes some buffers have."""
    return sum(map(len, parts))


def find_mark(parts: Sequence[Any] | None) -> bytes | None:
    """Return what a pickle is known by; `None`: it is too big, or there is none."""
    if parts is None or count_bytes(parts) > _HEAVY:
        return None
    if count_bytes(parts) <= _LIGHT:
        return b"".join(parts)
    from hashlib import blake2b  # it takes its time

    mark = blake2b(digest_size=16)
    for part in parts:
        mark.update(part)
    return mark.digest()


def _take_over(old: Any, value: Any) -> bool:
    """Let an object have what another one of its kind has, as others may hold it; return whether that can be."""
    if type(old) is not type(value):
        return False
    if type(old) in (dict, set):
        old.clear()
        old.update(value)
    elif type(old) is list:
        old[:] = value
    elif _is_simple(old) and _is_simple(value):
        vars(old).clear()
        vars(old).update(vars(value))
    else:
        return False
    return True


def _is_simple(value: Any) -> bool:
    """Return whether an object is what is in its `__dict__`, and nothing else."""
    if not hasattr(value, "__dict__") or isinstance(value, CODE):
        return False
    parts = value.__reduce_ex__(2)
    plain = isinstance(parts, tuple) and parts[0] is copyreg.__newobj__ and len(parts[1]) == 1  # type: ignore[attr-defined]  # that is its name
    return bool(plain and isinstance(parts[2], dict) and not any(parts[3:]))
