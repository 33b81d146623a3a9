"""Objects that are taken apart into their attributes although their classes say otherwise.

One that answers for attributes that it does not have, by `__getattr__`, must not be asked for anything while it has
none yet. One that says that it goes by a name, as a decorated function does, has none where there is no such name.
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from typing import Any, Protocol


class Finder(Protocol):
    """Who takes a value apart."""

    by_parts: bool
    """The other end has nothing but what it is sent."""

    def is_sent(self, name: str) -> bool:
        """Return whether the other end cannot import a module of this name."""

    def is_found(self, value: Any, name: str | None = None) -> bool:
        """Return whether the other end finds a value by its name."""


Reduce = Callable[[Finder, Any], Any]


def is_dynamic(kind: Any) -> bool:
    """Return whether objects answer for attributes that they do not have, and leave it to pickle to set them."""
    plain: Any = object
    usual = kind.__reduce_ex__ is plain.__reduce_ex__ and kind.__reduce__ is plain.__reduce__
    return usual and hasattr(kind, "__getattr__") and not hasattr(kind, "__setstate__")


def reduce_dynamic(_finder: Finder, value: Any) -> Any:
    """Return how such an object is taken apart."""
    make, arguments, state, *items = (*value.__reduce_ex__(5), None)[:5]
    return make, arguments, state, *items, *[None] * (2 - len(items)), set_attributes


def set_attributes(made: Any, state: Any) -> None:
    """Give an object its attributes, as pickle does, without asking it whether it would rather do it itself."""
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    if attributes:
        vars(made).update(attributes)
    for name, value in (slots or {}).items():
        object.__setattr__(made, name, value)


def take_apart(value: Any) -> tuple[Any, ...] | None:
    """Return how an object is taken apart that says that it goes by its name; `None`: it is not made in Python."""
    kind: Any = type(value)
    plain: Any = object
    if kind.__new__ is not plain.__new__:  # it may have more than its attributes
        return None
    return vars(copyreg)["__newobj__"], (kind,), plain.__getstate__(value), None, None, set_attributes
