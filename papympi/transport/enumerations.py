"""Enumerations that travel by value: their members are made again as they are, not by what their source says."""

from __future__ import annotations

import enum
from typing import Any, Final

from papympi.transport.classes import MACHINERY, begin_filling, end_filling, identify, make_once, without_hooks

_ENUM_MACHINERY: Final = frozenset({"__new__", "__reduce_ex__", "_generate_next_value_"})
_KEPT: Final = frozenset({"_missing_", "__new_member__"})


class _Member:
    """Stands for a member while its enumeration is made; no value is equal to it or understood by Enum.

    Attributes:
        data: of the type that is mixed in, e.g. `int` or `str`.
        value: the member's.
    """

    def __init__(self, data: tuple[Any, ...], value: Any) -> None:
        self.data = data
        self.value = value


def reduce_enumeration(value: Any, *, refills: bool = False) -> tuple[Any, ...]:
    """Return how an enumeration is taken apart; `refills` as for other classes."""
    members = {name: (_read_data(value, member), member._value_) for name, member in value.__members__.items()}
    extra = {"boundary": value._boundary_} if issubclass(value, enum.Flag) else {}
    attributes = {
        name: part
        for name, part in vars(value).items()
        if name not in members and name not in MACHINERY and name not in _ENUM_MACHINERY and not _is_sunder(name)
    }
    attributes |= {"__module__": value.__module__, "__qualname__": value.__qualname__}
    states = {
        name: {key: part for key, part in vars(member).items() if key != "__objclass__"}
        for name, member in value.__members__.items()
        if member.name == name
    }
    arguments = (identify(value), type(value), value.__name__, value.__bases__, members, extra)
    return make_enumeration, arguments, (attributes, states, refills), None, None, fill_enumeration


def make_enumeration(
    token: bytes,
    metaclass: type[enum.EnumMeta],
    name: str,
    bases: tuple[type, ...],
    members: dict[str, tuple[tuple[Any, ...], Any]],
    extra: dict[str, Any],
) -> type:
    """Return an enumeration with its members, to be filled by `fill_enumeration`."""

    def make() -> type:
        namespace: Any = metaclass.__prepare__(name, bases)
        namespace["__new__"] = _make_member
        namespace["__init__"] = _ignore
        for member, (data, value) in members.items():
            namespace[member] = enum.member(_Member(data, value))
        with without_hooks(bases):
            made: type = enum.EnumMeta.__new__(metaclass, name, bases, namespace, **extra)
        type.__delattr__(made, "__init__")
        type.__delattr__(made, "__new_member__")
        return made

    return make_once(token, make)


def fill_enumeration(made: type[enum.Enum], state: tuple[dict[str, Any], dict[str, dict[str, Any]], bool]) -> None:
    """Give an enumeration its attributes, and its members theirs."""
    attributes, members, refills = state
    if not begin_filling(made, refills=refills):
        return
    for name, value in attributes.items():
        type.__setattr__(made, name, value)
    for name, values in members.items():
        made[name].__dict__.update(values)
    end_filling(made)


def _make_member(kind: Any, *given: Any) -> Any:
    """Stand in for the `__new__` of an enumeration: the member has the data and the value that it had."""
    member = given[0] if isinstance(given[0], _Member) else given[0][0]
    base = kind._member_type_
    made = base.__new__(kind, *member.data)
    made._value_ = member.value
    return made


def _ignore(_member: Any, *_given: Any) -> None:
    pass


def _read_data(kind: Any, member: Any) -> tuple[Any, ...]:
    """Return what the type that is mixed in has of a member; without one, nothing."""
    base = kind._member_type_
    if base.__new__ is object.__new__:
        return ()
    if base in {int, float, str, bytes, tuple, complex, frozenset}:
        convert = {str: str.__str__, float: float.__float__, int: int.__int__}.get(base, base)
        return (convert(member),)
    value = member._value_
    return value if isinstance(value, tuple) else (value,)


def _is_sunder(name: str) -> bool:
    return name not in _KEPT and name.startswith("_") and name.endswith("_") and not name.startswith("__")
