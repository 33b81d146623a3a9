"""Finds what a program's functions use that has to be sent along, and what may be.

Needed is what the functions of its nodes reach; what of that cannot travel is an error. Other classes and functions of
the by-value modules are offered, since values may refer to them: each in a pickle of its own, so that one that cannot
be made again is missed only by who asks for it.
"""

from __future__ import annotations

import io
import math
import pickle
import sys
from collections import deque
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

from papympi.errors import ShippingError
from papympi.model.telling import describe_kind
from papympi.plan.preparation import Preparation
from papympi.plan.program import Program
from papympi.transport.blame import CannotTravelError, find_culprit
from papympi.transport.loaded import Reach
from papympi.transport.payload import sort_out
from papympi.transport.pickling import MAIN, Reducer, dump, make_pickler
from papympi.transport.rebuild import Namespace
from papympi.transport.unpack import Offer
from papympi.transport.uses import find_globals

_UNSENT: Final = frozenset(
    {"__name__", "__builtins__", "__spec__", "__loader__", "__package__", "__cached__", "__doc__", "__builtin__"}
)
_LIGHT: Final = 64 * 1024
_WAY: Final = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """A global that may have to be sent.

    Attributes:
        namespace: where it is.
        name: what it is called there.
        user: who needs it, for messages.
        way: functions through which it is needed, the one that names it first.
        limit: how many bytes it may have.
        is_needed: what uses it cannot do without it, as far as one can tell.
    """

    namespace: Namespace
    name: str
    user: str
    way: tuple[str, ...] = ()
    limit: float = math.inf
    is_needed: bool = True

    @property
    def value(self) -> Any:
        """What it is."""
        return self.namespace.names[self.name]

    @property
    def what(self) -> str:
        """What messages call it."""
        return " used by ".join([f"global {self.name!r}", *map(repr, self.way[:_WAY])])


class Census:
    """Finds the globals that have to be sent, by pickling everything once to nowhere.

    A function that nobody is known to need, such as `main`, brings only light data along: what it uses may be all the
    data there is.

    Attributes:
        reducer: knows the spaces of the entries.
        reach: what the program's functions reach in modules that workers load themselves.
    """

    def __init__(self, by_value: frozenset[str], preparation: Preparation | None = None) -> None:
        self._functions: list[FunctionType] = []
        main = None if preparation is None else preparation.main
        self.reducer = Reducer(by_value, self._functions.append, None if main is None else main.unloaded)
        sources = () if preparation is None else preparation.sources
        loaded = [
            *(source.name for source in sources if source.name not in by_value),
            *([] if main is None else [MAIN]),
        ]
        self.reach = Reach(loaded, by_value)
        self._modules = [sys.modules[name] for name in by_value if name in sys.modules]
        self._queue: deque[Entry] = deque()
        self._known: dict[tuple[int, str], bool] = {}
        self._left: list[Offer] = []

    def find_needed(self, program: Program) -> list[Entry]:
        """Return the globals that the program's functions use, the users of each before it.

        Raises:
            ShippingError: one of them, or a function, cannot be sent; names it and the way there.
        """
        probe = _Probe(self.reducer)
        found: list[Entry] = []
        for user, function in program.list_functions():
            error = probe.refusal(function)
            if error is not None:
                raise self._refuse(user, "its function", function, error)
            self._enqueue_globals(user)
            self.reach.follow(function, user)
        self._enqueue_unloaded()
        for module in self._modules:
            self._enqueue_sentinels(module)
        while self._queue:
            entry = self._queue.popleft()
            error = probe.refusal(entry.value)
            if error is None:
                found.append(entry)
                self._enqueue_globals(entry.user, entry)
            elif entry.is_needed:
                raise self._refuse(entry.user, entry.what, entry.value, error)
            else:
                self._left.append(Offer(entry.namespace.name, entry.name, f"it cannot be sent: {error}"))
            self._functions.clear()
        return found

    def find_offers(self, needed: list[Entry], buffers: list[memoryview]) -> list[Offer]:
        """Return what else the by-value modules offer; big buffers go onto a list."""
        for entry in needed:
            self._place(entry)
        self._enqueue_all(type, math.inf)
        self._enqueue_all(FunctionType, _LIGHT)
        self._enqueue_light()
        for entry in self._queue:
            self._place(entry)
        offers = self._left
        while self._queue:
            entry = self._queue.popleft()
            if entry.namespace.name:  # what belongs to no module is in the pickle of what uses it
                offers.append(self._pickle_offer(entry, buffers))
                self._enqueue_globals(entry.user, entry)
        return offers

    def _enqueue_all(self, kind: type, limit: float) -> None:
        """Queue the classes or functions of the by-value modules that nothing has asked for."""
        for space in map(self.reducer.namespace_at, map(vars, self._modules)):
            for name, value in list(space.names.items()):
                if isinstance(value, kind) and value.__module__ == space.name:
                    self._enqueue(Entry(space, name, space.name, (), limit))

    def _enqueue_light(self) -> None:
        """Queue what the by-value modules have imported, and plain data: somebody may look it up by its name."""
        for space in map(self.reducer.namespace_at, map(vars, self._modules)):
            for name, value in list(space.names.items()):
                if isinstance(value, _LIGHT_KINDS) and not name.startswith("_"):
                    self._enqueue(Entry(space, name, space.name, (), _LIGHT, is_needed=False))

    def _pickle_offer(self, entry: Entry, buffers: list[memoryview]) -> Offer:
        """Return a global in a pickle of its own, which refers to other ones by their places."""
        self._place(entry)
        self.reducer.root = place = entry.namespace.name, entry.name
        start = len(buffers)
        file = _Limited(entry.limit)
        try:
            dump(make_pickler(file, self.reducer, file.limit(sort_out(buffers))), entry.value)
        except ShippingError as error:
            del buffers[start:]
            self._functions.clear()
            return Offer(*place, f"it cannot be sent: {error}")
        finally:
            self.reducer.root = None
        return Offer(*place, file.getvalue(), start, len(buffers))

    def _place(self, entry: Entry) -> None:
        """Let other pickles refer to a global by its place, if it is more than a plain value."""
        if entry.namespace.name and not isinstance(entry.value, _PLAIN):
            self.reducer.placed.setdefault(id(entry.value), (entry.namespace.name, entry.name))

    def _enqueue(self, entry: Entry) -> None:
        place = id(entry.namespace.names), entry.name
        if self.reducer.is_loaded(entry.namespace.name, entry.name):
            return
        if entry.name not in _UNSENT and self._known.get(place, -1) < entry.is_needed:
            self._known[place] = entry.is_needed  # who can do without may come before who cannot
            self._queue.append(entry)

    def _enqueue_unloaded(self) -> None:
        """Queue what functions reach in modules that workers load, and only the runner has: guarded, or set since."""
        for (home, name), user in self.reach.data.items():
            if not self.reducer.is_loaded(home, name):
                self._enqueue(Entry(self.reducer.namespace_at(vars(sys.modules[home])), name, user))
        for (home, name), user in self.reach.foreign.items():
            if self.reducer.is_found(vars(sys.modules[home])[name]):
                self.reach.data[home, name] = user
            elif self.reducer.is_loaded(home, name):
                self._queue.append(Entry(self.reducer.namespace_at(vars(sys.modules[home])), name, user))

    def _enqueue_sentinels(self, module: ModuleType) -> None:
        """Queue plain objects: they are compared by `is`, and arrive in values and defaults, too."""
        for name, value in list(vars(module).items()):
            if type(value) is object:
                self._enqueue(Entry(self.reducer.namespace_at(vars(module)), name, module.__name__))

    def _enqueue_globals(self, user: str, entry: Entry | None = None) -> None:
        """Queue what the functions use that were met since the last time, in an entry or as a node's own."""
        way, limit, is_needed = (entry.way, entry.limit, entry.is_needed) if entry else ((), math.inf, True)
        for used in self._functions:
            namespace = self.reducer.namespace_of(used)
            if not namespace.is_sent:
                continue
            if namespace.names.get(used.__name__) is used:
                self._enqueue(Entry(namespace, used.__name__, user, way, limit, is_needed))
            longer = (used.__name__, *way) if entry else way
            for name in sorted(find_globals(used.__code__) & namespace.names.keys()):
                self._enqueue(Entry(namespace, name, user, longer, limit, is_needed))
                self._enqueue_attributes(user, longer, used.__code__, namespace.names[name])
        self._functions.clear()

    def _enqueue_attributes(self, user: str, way: tuple[str, ...], code: CodeType, module: Any) -> None:
        """Queue what a function may use of a by-value module that it knows as a module."""
        if isinstance(module, ModuleType) and module in self._modules:
            space = self.reducer.namespace_at(vars(module))
            for name in sorted(set(code.co_names) & space.names.keys()):
                self._enqueue(Entry(space, name, user, way, is_needed=False))

    def _refuse(self, user: str, what: str, value: Any, error: ShippingError) -> ShippingError:
        """Return the error that says which part of `value` cannot be sent."""
        cause = error.__cause__
        what, culprit = find_culprit(what, value, lambda part: _Probe(self.reducer).refusal(part) is None, cause)
        way_out = "" if isinstance(cause, CannotTravelError) else "; make it a @resource"
        refusal = ShippingError(f"{user}: {what} ({describe_kind(culprit)}) cannot be sent: {error}{way_out}")
        refusal.__cause__ = cause
        return refusal


_ATOMS: Final = (int, float, complex, str, bytes, tuple, frozenset)
_LIGHT_KINDS: Final = (*_ATOMS, list, dict, set, ModuleType, FunctionType, type)
_PLAIN: Final = (*_ATOMS, range, type(None), type(...), ModuleType)


class _Limited(io.BytesIO):
    """A pickle that may not be longer than so many bytes, its buffers included."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self._left = limit

    def write(self, data: Any, /) -> int:
        """Take bytes; return how many."""
        self._take(memoryview(data).nbytes)
        return super().write(data)

    def limit(self, keep: Any) -> Any:
        """Return what a pickler calls with each buffer: `keep`, unless it is too much."""

        def limited(buffer: pickle.PickleBuffer) -> bool:
            self._take(buffer.raw().nbytes)
            stays: bool = keep(buffer)
            return stays

        return limited

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ShippingError("it is too big for what no node is known to need")


class _Probe:
    """Pickles to nowhere, to learn whether it can be done: it is the file, and keeps nothing."""

    def __init__(self, reducer: Reducer) -> None:
        self._reducer = reducer
        self._begin()

    def refusal(self, value: Any) -> ShippingError | None:
        """Return why a value cannot be sent; `None`: it can."""
        try:
            dump(self._pickler, value)
        except ShippingError as error:
            self._begin()  # what was half written must not pass for known
            return error
        return None

    def _begin(self) -> None:
        self._pickler = make_pickler(self, self._reducer, lambda _buffer: False)

    def write(self, data: Any, /) -> int:
        """Take bytes; return how many."""
        return memoryview(data).nbytes
