"""Who reads an input: the caller's thread, unless the input waits for something; then a thread of its own does."""

from __future__ import annotations

import gc
import inspect
import itertools
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from io import BytesIO, IOBase, StringIO
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CodeType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    MethodType,
    ModuleType,
)
from typing import Any, Final, Literal

from papympi.model.users_code import is_users_file

Reader = Literal["anybody", "caller", "thread"]

PLAIN = (list, tuple, range, dict, set, frozenset, deque, itertools.count, itertools.repeat)
"""Iterables that run nobody's code and never wait: whoever turns the engine reads them."""
WAITING: Final = frozenset(
    {
        *("_queue", "_socket", "aiohttp", "botocore", "concurrent", "confluent_kafka", "fileinput", "ftplib", "http"),
        *("httpx", "imaplib", "inotify", "kafka", "multiprocessing", "paho", "paramiko", "pika", "pyinotify", "queue"),
        *("redis", "requests", "select", "selectors", "serial", "socket", "ssl", "subprocess", "urllib", "urllib3"),
        *("watchdog", "watchfiles", "websocket", "websockets", "zmq"),
    }
)
"""What comes from these modules waits for somebody else."""
TIED: Final = frozenset(
    {
        *("_tkinter", "comtypes", "gi", "playwright", "PyQt5", "PyQt6", "PySide2", "PySide6", "pysqlite3"),
        *("pythoncom", "sqlcipher3", "sqlite3", "tkinter", "win32com", "wx"),
    }
)
"""Objects of these modules may be used in one thread only."""
_WAITS: Final = (IOBase, threading.Event, threading.Condition, threading.Semaphore, threading.Barrier, threading.Thread)
_WAITING_CALLS: Final = (time.sleep, input)
_TIED_CALLS: Final = (signal.signal, signal.setitimer, signal.alarm)
_PARTS: Final = frozenset({"builtins", "itertools", "functools", "_csv", "collections"})
"""Iterators of these modules say what they are made of."""
MOST_OBJECTS = 2000
FEW = 16
"""Of a longer list or dict the items are data, and not looked at."""


def choose_reader(origins: Sequence[Any]) -> Reader:
    """Return who is to read the rows of some iterables, and of source nodes given by their functions and resources.

    An iterator stays with one thread to its end. The caller's is the right one: only it has the caller's settings, and
    the objects that belong to a thread. But while it reads, no result is handed over; so an iterator that seems to wait
    (it holds a file, a queue or an event, or its code sleeps) gets a thread, unless it holds what is tied to its own.
    """
    others = [each for each in origins if not isinstance(each, PLAIN)]
    if not others:
        return "anybody"
    waits = False
    for each in _reach(others):
        if _is_tied(each):
            return "caller"
        waits = waits or _waits(each)
    return "thread" if waits else "caller"


def _is_tied(each: Any) -> bool:
    """Return whether an object may be used in the caller's thread only."""
    if issubclass(type(each), FunctionType | BuiltinFunctionType):
        return each in _TIED_CALLS
    return issubclass(type(each), threading.local) or any(_root(cls.__module__) in TIED for cls in type(each).__mro__)


def _waits(each: Any) -> bool:
    """Return whether an object, or a function, is there to wait for something."""
    if issubclass(type(each), GeneratorType):
        frame = each.gi_frame
        return frame is not None and _root(frame.f_globals.get("__name__")) in {*WAITING, "papympi"}
    if issubclass(type(each), type | FunctionType | BuiltinFunctionType):
        return each in _WAITING_CALLS or _root(each.__module__) in WAITING
    if issubclass(type(each), AsyncGeneratorType | CoroutineType):
        return True
    if issubclass(type(each), IOBase):
        return not issubclass(type(each), StringIO | BytesIO) and not each.closed and each.readable()
    return issubclass(type(each), _WAITS) or any(
        _root(cls.__module__) in WAITING or cls.__module__ == "papympi.runner.run" for cls in type(each).__mro__
    )


def _root(module: Any) -> str:
    return module.partition(".")[0] if isinstance(module, str) else ""


def _reach(values: Sequence[Any]) -> Iterator[Any]:
    """Yield objects and what they hold and name, as far as it is the user's own."""
    seen = set(map(id, values))
    todo = deque(values)
    while todo and len(seen) < MOST_OBJECTS:
        each = todo.popleft()
        yield each
        for part in _parts(each):
            if id(part) not in seen:
                seen.add(id(part))
                todo.append(part)


def _parts(each: Any) -> Iterable[Any]:
    """Return what an object holds and names."""
    for kinds, find in _KINDS:
        if issubclass(type(each), kinds):
            return find(each)
    return _parts_of_object(each)


def _parts_of_generator(generator: GeneratorType[Any, Any, Any]) -> Iterator[Any]:
    frame = generator.gi_frame
    if frame is not None and not generator.gi_running:
        yield from frame.f_locals.values()
        if not _is_library(generator.gi_code):
            yield from _named(generator.gi_code, frame.f_globals)


def _parts_of_function(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it is still empty
            continue
    yield from function.__defaults__ or ()
    if not _is_library(function.__code__):
        yield from _named(function.__code__, function.__globals__)


def _parts_of_object(each: Any) -> Iterator[Any]:
    """Yield attributes of an object of the user's own, and the methods that read it."""
    cls = type(each)
    if cls.__module__ in _PARTS:
        yield from (part for part in gc.get_referents(each) if not issubclass(type(part), type | list | dict | set))
    elif not _is_library_module(cls.__module__):
        with suppress(AttributeError):  # it has slots; nothing of its class is asked, which may be a proxy's
            yield from object.__getattribute__(each, "__dict__").values()
        names = ["__iter__", "__next__", "__getitem__"]
        for name in names:
            method = inspect.getattr_static(cls, name, None)
            if isinstance(method, FunctionType) and not _is_library(method.__code__):
                yield method
                names += [name for name in method.__code__.co_names if name not in names]


_KINDS: Final[tuple[tuple[Any, Callable[[Any], Iterable[Any]]], ...]] = (
    (GeneratorType, _parts_of_generator),
    (FunctionType, _parts_of_function),
    (MethodType, lambda method: (method.__self__, method.__func__)),
    (BuiltinFunctionType, lambda function: (function.__self__,)),
    (partial, lambda bound: (bound.func, *bound.args, *bound.keywords.values())),
    (dict, lambda values: values.values() if len(values) <= FEW else ()),
    ((list, tuple), lambda values: values if len(values) <= FEW else ()),
    ((ModuleType, type, str, bytes, int, float), lambda _: ()),
)
"""For objects of some kinds what finds their parts; the first that fits counts."""


def _named(code: CodeType, scope: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the globals that code names, and of modules what it names of them."""
    codes = [code]
    for each in codes:
        codes += [constant for constant in each.co_consts if isinstance(constant, CodeType)]
        for name in each.co_names:
            if name in scope:
                yield from _within(scope[name], each.co_names)
            elif name == "input":
                yield input


def _within(value: Any, names: tuple[str, ...]) -> Iterator[Any]:
    """Yield a value; in place of a module those of its members that are named."""
    found, seen = [value], {id(value)}
    for each in found:
        if not issubclass(type(each), ModuleType):
            yield each
            continue
        members = [vars(each)[name] for name in names if name in vars(each)]
        found += [member for member in members if id(member) not in seen]
        seen.update(map(id, members))


def _is_library(code: CodeType) -> bool:
    """Return whether code is of the standard library or an installed package."""
    return not is_users_file(code.co_filename)


def _is_library_module(name: str) -> bool:
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    return name in sys.builtin_module_names or (file is not None and not is_users_file(file))
