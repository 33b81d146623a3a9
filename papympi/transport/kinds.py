"""Kinds of objects that travel by value otherwise than pickle and dill would have it, and those that cannot.

Locks arrive open, whoever holds them: what waits for one that nobody will open waits for ever. Streams arrive as the
worker's own; what belongs to one process, such as a thread or an open file, is refused.
"""

from __future__ import annotations

import contextvars
import functools
import io
import os
import sys
import threading
import typing
import weakref
from typing import Any, Final

from papympi.transport.attributes import Finder, Reduce, is_dynamic, reduce_dynamic
from papympi.transport.blame import CannotTravelError
from papympi.transport.sentinels import find_place, get_by_name

_LOCAL: Final = "it belongs to one process"
_STREAMS: Final = ("stdin", "stdout", "stderr")


def find_kind(kind: type) -> Reduce | None:
    """Return how objects of a class are taken apart; `None`: as anything else."""
    exact = _EXACT.get(_name(kind))
    if exact is not None:
        return exact
    for base in kind.__mro__:
        name = _name(base)
        if name in _REFUSED:
            return functools.partial(_refuse, _REFUSED[name])
        if name in _BELOW:
            return _BELOW[name]
    if kind is not type(None) and any(kind is type(getattr(sys, name)) for name in _STREAMS):
        return _reduce_stream
    return reduce_dynamic if is_dynamic(kind) else None


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _refuse(reason: str, _finder: Finder, value: Any) -> Any:
    raise CannotTravelError(value, reason)


def make_lock() -> Any:
    """Return an open lock."""
    return threading.Lock()


def make_recursive_lock() -> Any:
    """Return an open lock that its holder may take again."""
    return threading.RLock()


def _reduce_semaphore(_finder: Finder, value: Any) -> Any:
    # What has been taken of one without a bound is not known; one that all have been taken of would never open.
    return type(value), (getattr(value, "_initial_value", max(value._value, 1)),)  # noqa: SLF001 - nothing tells it


def _reduce_barrier(_finder: Finder, value: Any) -> Any:
    return threading.Barrier, (value.parties, value._action, value._timeout)  # noqa: SLF001 - nothing else tells them


def get_stream(name: str) -> Any:
    """Return a standard stream of this process."""
    return getattr(sys, name)


def _find_stream(value: Any) -> str | None:
    """Return the name of a standard stream."""
    return next(
        (name for name in _STREAMS if value is getattr(sys, name) or value is getattr(sys, f"__{name}__")), None
    )


def _reduce_file(_finder: Finder, value: Any) -> Any:
    name = _find_stream(value)
    if name is None:
        way_out = "open it where it is used, or in a @resource"
        raise CannotTravelError(value, f"an open file: {_LOCAL}", way_out)
    return get_stream, (name,)


def _reduce_stream(_finder: Finder, value: Any) -> Any:
    """Take apart an object of a class that a standard stream has here, such as a notebook's."""
    name = _find_stream(value)
    return NotImplemented if name is None else (get_stream, (name,))


def make_new_type(name: str, module: str, supertype: Any) -> Any:
    """Return a type for type checkers."""
    made = vars(typing)["NewType"](name, supertype)
    made.__module__ = module
    return made


def _reduce_new_type(finder: Finder, value: Any) -> Any:
    if finder.is_found(value):
        return NotImplemented
    return make_new_type, (value.__qualname__, value.__module__, value.__supertype__)


def make_variable(kind: Any, name: str, module: str, constraints: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Return a type variable of some kind."""
    made = kind(name, *constraints, **options)
    made.__module__ = module
    return made


def _reduce_variable(finder: Finder, value: Any) -> Any:
    if finder.is_found(value):
        return NotImplemented
    options = {
        key: getattr(value, f"__{key}__")
        for key in ("bound", "covariant", "contravariant", "infer_variance")
        if getattr(value, f"__{key}__", None)
    }
    if getattr(value, "has_default", lambda: False)():
        options["default"] = value.__default__
    constraints = getattr(value, "__constraints__", ())
    return make_variable, (type(value), value.__name__, value.__module__, constraints, options)


def make_alias(kind: Any, name: str, value: Any, parameters: tuple[Any, ...]) -> Any:
    """Return what a `type` statement makes."""
    return kind(name, value, type_params=parameters)


def _reduce_alias(finder: Finder, value: Any) -> Any:
    """Take a `type` statement apart."""
    if finder.is_found(value):
        return NotImplemented
    return make_alias, (type(value), value.__name__, value.__value__, value.__type_params__)


_variables: Final[dict[bytes, contextvars.ContextVar[Any]]] = {}
_tokens: Final[dict[int, bytes]] = {}


def make_context_variable(token: bytes, name: str, default: tuple[Any, ...]) -> contextvars.ContextVar[Any]:
    """Return the context variable that this process has for a token; it is made the first time."""
    found = _variables.get(token)
    if found is None:
        found = contextvars.ContextVar(name, default=default[0]) if default else contextvars.ContextVar(name)
        found = _variables.setdefault(token, found)
        _tokens[id(found)] = token
    return found


def make_view(data: bytes | bytearray, form: Any, shape: tuple[int, ...]) -> Any:
    """Return a view of some bytes."""
    return memoryview(data).cast("B").cast(form, shape)


def _reduce_view(_finder: Finder, value: memoryview) -> Any:
    data = value.tobytes()
    return make_view, (data if value.readonly else bytearray(data), value.format, value.shape)


def _reduce_context_variable(finder: Finder, value: contextvars.ContextVar[Any]) -> Any:
    place = find_place(value, list(sys.modules))
    if place is not None and not finder.is_sent(place[0]):
        return get_by_name(place)
    try:
        default: tuple[Any, ...] = (contextvars.Context().run(value.get),)
    except LookupError:
        default = ()
    token = _tokens.setdefault(id(value), os.urandom(16))
    _variables[token] = value
    return make_context_variable, (token, value.name, default)


def make_cached(function: Any, parameters: dict[str, Any]) -> Any:
    """Return a function with an empty cache."""
    return functools.lru_cache(**parameters)(function)


def fill_cached(made: Any, attributes: dict[str, Any]) -> None:
    """Give a cached function its attributes."""
    vars(made).update(attributes)


def _reduce_cached(finder: Finder, value: Any) -> Any:
    if finder.is_found(value):
        return value.__qualname__
    attributes = {name: part for name, part in vars(value).items() if name != "__wrapped__"}
    return make_cached, (value.__wrapped__, value.cache_parameters()), attributes, None, None, fill_cached


def make_descriptor(kind: Any, base: Any, parts: tuple[Any, ...]) -> Any:
    """Return a property, or a method of a class, of a class below the usual one."""
    made = kind.__new__(kind)
    base.__init__(made, *parts)
    return made


def _reduce_property(_finder: Finder, value: property) -> Any:
    parts = value.fget, value.fset, value.fdel, value.__doc__
    return make_descriptor, (type(value), property, parts), getattr(value, "__dict__", None) or None


def _reduce_method(base: type, _finder: Finder, value: Any) -> Any:
    return make_descriptor, (type(value), base, (value.__func__,))


_alive: Final[list[Any]] = []


def make_reference(referent: Any, *, keeps: bool = True) -> weakref.ref[Any]:
    """Return a weak reference; what it refers to stays, as it does where the program comes from."""
    if keeps:
        _alive.append(referent)
    return weakref.ref(referent)


def _reduce_reference(finder: Finder, value: weakref.ref[Any]) -> Any:
    referent = value()
    return (make_reference, (referent,)) if finder.by_parts and referent is not None else NotImplemented


def _reduce_weak_mapping(_finder: Finder, value: Any) -> Any:
    return type(value), (), None, None, iter(list(value.items()))


def _reduce_weak_set(_finder: Finder, value: Any) -> Any:
    return type(value), (list(value),)


_EXACT: Final[dict[str, Reduce]] = {
    _name(type(threading.Lock())): lambda _finder, _value: (make_lock, ()),
    _name(type(threading.RLock())): lambda _finder, _value: (make_recursive_lock, ()),
    "threading.Condition": lambda _finder, value: (threading.Condition, (value._lock,)),  # noqa: SLF001 - nothing else tells it
    "threading.Semaphore": _reduce_semaphore,
    "threading.BoundedSemaphore": _reduce_semaphore,
    "threading.Barrier": _reduce_barrier,
    _name(threading.local): lambda _finder, _value: (threading.local, ()),
    "typing.NewType": _reduce_new_type,
    "typing.TypeVar": _reduce_variable,
    "typing.ParamSpec": _reduce_variable,
    "typing.TypeVarTuple": _reduce_variable,
    "typing.TypeAliasType": _reduce_alias,
    _name(contextvars.ContextVar): _reduce_context_variable,
    _name(type(functools.cache(len))): _reduce_cached,
    "builtins.memoryview": _reduce_view,
    _name(weakref.ref): _reduce_reference,
    "weakref.WeakValueDictionary": _reduce_weak_mapping,
    "weakref.WeakKeyDictionary": _reduce_weak_mapping,
    "_weakrefset.WeakSet": _reduce_weak_set,
}
_BELOW: Final[dict[str, Reduce]] = {
    _name(io.TextIOWrapper): _reduce_file,
    _name(io.BufferedReader): _reduce_file,
    _name(io.BufferedWriter): _reduce_file,
    _name(io.BufferedRandom): _reduce_file,
    _name(io.FileIO): _reduce_file,
    "builtins.property": _reduce_property,
    "builtins.staticmethod": functools.partial(_reduce_method, staticmethod),
    "builtins.classmethod": functools.partial(_reduce_method, classmethod),
}
_REFUSED: Final = {
    "threading.Thread": f"a thread: {_LOCAL}",
    "concurrent.futures._base.Future": f"a future: {_LOCAL}, and nobody would ever complete a copy",
    "concurrent.futures._base.Executor": f"an executor: {_LOCAL}",
    "subprocess.Popen": f"a running program: {_LOCAL}",
    "multiprocessing.process.BaseProcess": f"a child process: {_LOCAL}",
    "multiprocessing.synchronize.SemLock": "a lock of multiprocessing: only children that inherit it can share it",
    "multiprocessing.queues.Queue": "a queue of multiprocessing: only children that inherit it can share it",
    "socket.socket": f"a socket: {_LOCAL}",
    "mmap.mmap": f"a memory map: {_LOCAL}",
    "ctypes.CDLL": f"a loaded C library: {_LOCAL}",
    _name(contextvars.Context): f"a context: {_LOCAL}",
    _name(contextvars.Token): f"a context's token: {_LOCAL}",
    "builtins.PyCapsule": f"a pointer to C data: {_LOCAL}",
    _name(weakref.ProxyType): "a weak proxy cannot be told from what it stands for",
    _name(weakref.CallableProxyType): "a weak proxy cannot be told from what it stands for",
}
