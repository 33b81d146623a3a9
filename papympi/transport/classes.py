"""Classes that travel by value: how they are taken apart, and how they are made again, each once in a process.

A class that is not found by its name gets an id when it first leaves. Whoever has made a class of that id, or is where
it comes from, takes the one that is there: so `isinstance` and `==` hold for whatever comes back, or from two sides.
"""

from __future__ import annotations

import abc
import collections.abc
import contextlib
import numbers
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, Final

from papympi.transport.blame import CannotTravelError

MACHINERY: Final = frozenset({"__dict__", "__weakref__", "__module__", "__qualname__", "_abc_impl"})
"""What each class gets when it is made."""

_DESCRIPTORS: Final = (MemberDescriptorType, GetSetDescriptorType)
_ABSTRACT: Final = tuple(
    kind for room in (collections.abc, numbers) for kind in vars(room).values() if isinstance(kind, abc.ABCMeta)
)


@dataclass(slots=True)
class Identity:
    """What is known of a class that travels by value.

    Attributes:
        token: stands for the class in all processes.
        is_own: it was defined in this process, and not sent here.
        is_filled: it has all its attributes.
    """

    token: bytes
    is_own: bool
    is_filled: bool = False


_lock = threading.RLock()  # a signal handler may begin a run while its thread packs another
_identities: Final[dict[int, tuple[weakref.ref[type], Identity]]] = {}
_classes: Final[weakref.WeakValueDictionary[bytes, type]] = weakref.WeakValueDictionary()


def identify(value: type) -> bytes:
    """Return what stands for a class in all processes, always the same."""
    with _lock:
        known = _identities.get(id(value))
        return known[1].token if known is not None else _note(value, os.urandom(16), is_own=True).token


def make_once(token: bytes, make: Callable[[], type]) -> type:
    """Return the class that this process has for a token; one that it makes, to be filled, if there is none."""
    found = _classes.get(token)
    if found is None:
        made = make()
        with _lock:
            found = _classes.get(token)
            if found is None:
                _note(made, token, is_own=False)
                return made
    return found


def begin_filling(made: type, *, refills: bool) -> bool:
    """Return whether a class is to get its attributes now; `refills`: it gets them anew if it was sent here."""
    known = _identities.get(id(made))
    if known is None:
        return True
    identity = known[1]
    return not identity.is_own and (refills or not identity.is_filled)


def end_filling(made: type) -> None:
    """Note that a class has all its attributes."""
    known = _identities.get(id(made))
    if known is not None:
        known[1].is_filled = True


def _note(value: type, token: bytes, *, is_own: bool) -> Identity:
    place = id(value)
    identity = Identity(token, is_own)
    _identities[place] = weakref.ref(value, lambda _: _identities.pop(place, None)), identity
    _classes[token] = value
    return identity


def reduce_class(value: type, *, refills: bool = False) -> tuple[Any, ...]:
    """Return how a class is taken apart; `refills`: as a program has it, which may have changed since another one.

    Raises:
        CannotTravelError: classes of this kind cannot be made of parts.
    """
    _check_metaclass(value)
    namespace: dict[str, Any] = {"__module__": value.__module__, "__qualname__": value.__qualname__}
    attributes = {name: part for name, part in vars(value).items() if name not in MACHINERY}
    if "__slots__" in attributes:
        slots = attributes.pop("__slots__")
        namespace["__slots__"] = slots = (slots,) if isinstance(slots, str) else tuple(slots)
        if "__weakref__" in vars(value) and "__weakref__" not in slots:
            namespace["__slots__"] = (*slots, "__weakref__")
    attributes = {name: part for name, part in attributes.items() if not isinstance(part, _DESCRIPTORS)}
    arguments = (identify(value), type(value), value.__name__, value.__bases__, namespace)
    state = attributes, _list_registered(value), _list_virtual_bases(value), refills
    return make_class, arguments, state, None, None, fill_class


def make_class(token: bytes, metaclass: type, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
    """Return a class to be filled by `fill_class`.

    What its metaclass and `__init_subclass__` did when it was defined is part of what it is filled with, so they are
    not called again.
    """

    def make() -> type:
        construct = abc.ABCMeta.__new__ if issubclass(metaclass, abc.ABCMeta) else type.__new__
        with without_hooks(bases):
            made: type = construct(metaclass, name, bases, namespace)
        return made

    return make_once(token, make)


def fill_class(made: type, state: tuple[dict[str, Any], tuple[type, ...], tuple[type, ...], bool]) -> None:
    """Give a class its attributes, its registered subclasses, and the abstract classes that it is registered with."""
    attributes, registered, bases, refills = state
    if not begin_filling(made, refills=refills):
        return
    for name, value in attributes.items():
        type.__setattr__(made, name, value)
    for subclass in registered:
        made.register(subclass)  # type: ignore[attr-defined]  # only abstract classes have some
    for base in bases:
        base.register(made)  # type: ignore[attr-defined]  # they are abstract
    end_filling(made)


def _check_metaclass(value: type) -> None:
    """Refuse classes that are made in C, from what their source says."""
    metaclass = type(value)
    if metaclass is type or issubclass(metaclass, abc.ABCMeta):
        return
    cause = None
    if metaclass.__module__ != "_ctypes":  # its classes are made, and of no use
        try:
            type.__new__(metaclass, "probe", (), {})
        except TypeError as error:
            cause = error
        else:
            return
    kind = f"{metaclass.__module__}.{metaclass.__qualname__}"
    way_out = "put it into a module that workers can import"
    raise CannotTravelError(value, f"a class made by {kind} does not travel by value", way_out) from cause


def _registry_of(value: abc.ABCMeta) -> Iterator[type]:
    """Yield the classes that are registered with an abstract class."""
    for reference in abc._get_dump(value)[0]:  # type: ignore[attr-defined]  # noqa: SLF001 - nothing else tells them
        subclass = reference()
        if subclass is not None:
            yield subclass


def _list_registered(value: type) -> tuple[type, ...]:
    return tuple(_registry_of(value)) if isinstance(value, abc.ABCMeta) else ()


def _list_virtual_bases(value: type) -> tuple[type, ...]:
    """Return the abstract classes that a class is registered with: of Python, or known where it was defined."""
    around = vars(sys.modules[value.__module__]).values() if value.__module__ in sys.modules else ()
    near = [kind for kind in list(around) if isinstance(kind, abc.ABCMeta) and kind.__module__ != value.__module__]
    bases = dict.fromkeys([*_ABSTRACT, *near])
    return tuple(base for base in bases if any(each is value for each in _registry_of(base)))


@contextlib.contextmanager
def without_hooks(bases: tuple[type, ...]) -> Iterator[None]:
    """Keep the `__init_subclass__` of some bases from being called."""
    owners = [
        owner
        for owner in dict.fromkeys(owner for base in bases for owner in base.__mro__)
        if owner is not object and "__init_subclass__" in vars(owner)
    ]
    hooks = [vars(owner)["__init_subclass__"] for owner in owners]
    try:
        for owner in owners:
            type.__setattr__(owner, "__init_subclass__", classmethod(_ignore))
        yield
    finally:
        for owner, hook in zip(owners, hooks, strict=True):
            type.__setattr__(owner, "__init_subclass__", hook)


def _ignore(_subclass: type, /, **_options: Any) -> None:
    pass


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - the parent's may be held by a thread that is not here
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
