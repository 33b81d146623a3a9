"""Which part of a value is at fault, and why a value does not travel."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from types import CellType, FunctionType, GetSetDescriptorType, MemberDescriptorType, MethodType
from typing import Any, Final

from papympi.model.telling import describe

_DEEP: Final = 8
_MANY: Final = 1000
_DESCRIPTORS: Final = (GetSetDescriptorType, MemberDescriptorType)


class CannotTravelError(pickle.PicklingError):
    """Says why a value does not travel by value.

    Attributes:
        value: it.
        way_out: what to do about it.
    """

    def __init__(self, value: Any, reason: str, way_out: str = "make it a @resource") -> None:
        super().__init__(reason)
        self.value = value
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{super().__str__()}; {self.way_out}"


def find_culprit(
    what: str, value: Any, is_sound: Callable[[Any], bool], error: BaseException | None = None
) -> tuple[str, Any]:
    """Return the innermost part of `value` that is not sound, with what to call it.

    Args:
        what: what the value is.
        value: where to look.
        is_sound: whether a part is.
        error: what was said to the value; a `CannotTravelError` knows the culprit.
    """
    seen = [value]
    for _ in range(_DEEP):
        if isinstance(error, CannotTravelError) and error.value is value:
            break
        parts = ((name, part) for name, part in _parts(value) if all(part is not old for old in seen))
        culprit = next(((name, part) for name, part in parts if not is_sound(part)), None)
        if culprit is None:
            break
        what, value = f"{culprit[0]} of {what}", culprit[1]
        seen.append(value)
    return what, value


def read_cell(cell: CellType) -> tuple[Any, ...]:
    """Return what a closure's cell holds, or nothing if it is empty."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a function, container or object, each with what to call it."""
    if isinstance(value, FunctionType):
        yield from _parts_of_function(value)
    elif isinstance(value, MethodType):
        yield "the object", value.__self__
    elif isinstance(value, partial):
        yield "the function", value.func
        yield "the arguments", (*value.args, *value.keywords.values())
    elif isinstance(value, dict):
        yield from ((f"item {describe(key)}", part) for key, part in islice(value.items(), _MANY))
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from ((f"item {index}", part) for index, part in enumerate(islice(value, _MANY)))
    else:
        attributes = list(getattr(value, "__dict__", {}).items())
        yield from ((f"attribute {name!r}", part) for name, part in attributes if not isinstance(part, _DESCRIPTORS))


def _parts_of_function(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        for contents in read_cell(cell):
            yield f"closure variable {name!r}", contents
    yield "the defaults", (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    yield from ((f"attribute {name!r}", part) for name, part in vars(function).items())
