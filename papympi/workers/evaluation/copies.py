"""A value for each of its takers: what one function changes in place, the next one must not see.

Between processes each taker unpickles a value of its own. Within a stage, and on pools that share the runner's objects,
takers get copies, but for the last one where it is known. So does the consumer of the run, who may come before others,
and a vectorized function, which is called again for the other items when it has raised for one.
What cannot change is not copied, nor what nothing pickles: a lock, a connection or an open file is shared.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final

from papympi.model.attempt import attempt
from papympi.model.item import Failure
from papympi.plan.program import Call, Stage
from papympi.transport.payload import Unsendable

_ATOMS: Final = frozenset(
    {
        *(int, float, complex, bool, str, bytes, type(None), type(...), range, slice, type, Decimal, Fraction),
        *(FunctionType, BuiltinFunctionType, ModuleType, Failure, Unsendable),
    }
)
_HOLDERS: Final = (tuple, frozenset)
_LISTS: Final = (list, set, dict)


def find_copied(stage: Stage, *, sends: bool) -> dict[int, frozenset[int]]:
    """Return for each call of a stage, by its id, the numbers of the arguments of which it gets copies.

    Args:
        stage: whose calls they are, one after the other.
        sends: outputs are pickled before anybody else in the stage has them, and inputs are nobody else's.
    """
    members: dict[int | None, int] = {lists: children for inner in stage.inner for children, lists in inner.gathers}
    taken: set[int | None] = set() if sends and not stage.inner else set(stage.outputs)
    if not sends:
        taken |= set(stage.shared)
    copied = {}
    for call in reversed(_list_as_made(stage)):
        columns = [members.get(argument.column, argument.column) for argument in call.arguments]
        again = call.vectorized  # one that raises is called again, with a part of its items
        copied[id(call)] = frozenset(i for i, at in enumerate(columns) if at is not None and (again or at in taken))
        taken |= {column for column in columns if column is not None}
    return copied


def _list_as_made(stage: Stage) -> list[Call]:
    """Return the calls in the order in which they are made: those for children at once behind their scatter."""
    inside = {number for inner in stage.inner for number in inner.calls}
    behind = {inner.scatter: inner.calls for inner in stage.inner}
    numbers = [each for at in range(len(stage.calls)) for each in behind.get(at, () if at in inside else (at,))]
    return [stage.calls[number] for number in numbers]


def find_early(stage: Stage, *, sends: bool) -> frozenset[int]:
    """Return the outputs that are pickled before the calls of their own stage have them, which may change them."""
    if not sends or stage.kind != "map" or stage.inner:
        return frozenset()
    taken = {argument.column for call in stage.calls for argument in call.arguments}
    return frozenset(column for column in stage.outputs if column in taken)


def copy_values(values: Sequence[Any]) -> Iterable[Any]:
    """Return values as one of several takers gets them, each copied when it is asked for."""
    return values if _ATOMS.issuperset(map(type, values)) else map(copy_value, values)


def copy_value(value: Any) -> Any:
    """Return a copy of a value that can change, else the value itself."""
    kind = type(value)
    if kind in _ATOMS or _cannot_change(value):
        return value
    if kind in _LISTS and _ATOMS.issuperset(map(type, _parts(value))):
        return value.copy()
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray" and not value.dtype.hasobject:
        return value.copy(order="K")
    copy, error = attempt(lambda: pickle.loads(pickle.dumps(value, 5)))
    return copy if error is None and type(copy) is kind else value


def _parts(value: Any) -> Iterator[Any]:
    """Yield what a list, set or dict holds."""
    yield from value
    if type(value) is dict:
        yield from value.values()


def _cannot_change(value: Any) -> bool:
    return type(value) in _HOLDERS and all(type(part) in _ATOMS or _cannot_change(part) for part in value)
