"""Objects that are compared by `is`, found again by the name that they have in a module.

`MISSING = object()` would arrive as another one. So pickle is told how to take plain objects apart: those that a module
of the user's has as a global go by its name, which holds in both directions; the others as ever. Nothing is added to
the way of other values.
"""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Final

from papympi.model.users_code import is_users_file

_MAIN: Final = frozenset({"__main__", "__mp_main__"})
_places: Final[dict[int, tuple[Any, tuple[str, str]]]] = {}


def find_place(value: Any, modules: Iterable[str]) -> tuple[str, str] | None:
    """Return the module and the name of a global that is the value; the main module comes last."""
    known = _places.get(id(value))
    if known is not None and known[0] is value and _has(known[1], value):
        return known[1]
    place = None
    for name in modules:
        module = sys.modules.get(name)
        if place is None or place[0] == "__main__":
            found = _name_in(module, value) if isinstance(module, ModuleType) else None
            if found is not None:
                place = ("__main__" if name in _MAIN else name, found)
    if place is not None:
        _places[id(value)] = value, place
    return place


def get_by_name(place: tuple[str, str]) -> tuple[Any, ...]:
    """Return how a pickle finds a global; it can be read without papympi."""
    from pkgutil import resolve_name

    return resolve_name, (":".join(place),)


def is_users(module: Any) -> bool:
    """Return whether a module is the user's own: no part of Python or of an installed package."""
    if not isinstance(module, ModuleType):
        return False
    if module.__name__ in _MAIN or module.__spec__ is None:
        return True
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and is_users_file(file)


def _name_in(module: ModuleType, value: Any) -> str | None:
    return next((name for name, part in list(vars(module).items()) if part is value), None)


def _has(place: tuple[str, str], value: Any) -> bool:
    module = sys.modules.get(place[0])
    return module is not None and vars(module).get(place[1]) is value


def _reduce_plain(value: object) -> Any:
    """Take a plain object apart, for pickle."""
    place = find_place(value, [name for name, module in list(sys.modules.items()) if is_users(module)])
    return object.__reduce_ex__(value, 2) if place is None else get_by_name(place)


copyreg.pickle(object, _reduce_plain)
