"""Programs to bytes and back: what workers can import travels by name, the rest by value, in modules made there.

Functions and classes of one module keep sharing one namespace, and a class keeps being one class: what plain pickle
sends by reference later finds the same class under the same name.
"""

from __future__ import annotations

import io
import math
import pickle
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

from papympi.errors import ShippingError
from papympi.plan.program import Program
from papympi.transport.blame import describe_kind, find_culprit
from papympi.transport.packed import Packed
from papympi.transport.payload import sort_out
from papympi.transport.pickling import Namespace, Reducer, dump, find_globals, make_pickler

_UNSENT: Final = frozenset(
    {"__name__", "__builtins__", "__spec__", "__loader__", "__package__", "__cached__", "__doc__", "__builtin__"}
)


_LIGHT: Final = 64 * 1024


def pack_program(program: Program) -> Packed:
    """Return the program with everything that its functions use; their big buffers are not copied.

    Raises:
        ShippingError: something cannot be sent; names the node and the object.
    """
    census = _Census(frozenset(program.by_value))
    entries = census.take(program)
    file = io.BytesIO()
    buffers: list[memoryview] = []
    pickler = make_pickler(file, census.reducer, sort_out(buffers))
    pickler.dump(len(entries))
    for namespace, name in reversed(entries):  # what was found last is used by what was found first
        pickler.dump((namespace, name, namespace.names[name]))
    pickler.dump((program.stages, program.setups))
    head = program.by_value, program.path, program.seed, program.state
    return Packed(pickle.dumps((*head, file.getvalue()), 5), buffers)


def unpack_program(packed: Packed) -> Program:
    """Return the program, its functions ready to be called; what travelled by value is put into its modules.

    The packed buffers become parts of what the functions refer to. The state is yet to be set, by `script.state`.
    """
    by_value, path, seed, state, body = pickle.loads(packed.body)
    sys.path[:0] = [folder for folder in path if folder not in sys.path]
    unpickler = pickle.Unpickler(io.BytesIO(body), buffers=packed.buffers)
    for _ in range(unpickler.load()):
        names, name, value = unpickler.load()
        names[name] = value
    stages, setups = unpickler.load()
    return Program(stages, by_value, path, seed, setups, state)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A global that may have to be sent.

    Attributes:
        namespace: where it is.
        name: what it is called there.
        user: who uses it, for messages.
        is_needed: the program cannot do without.
        limit: how many bytes it may have.
    """

    namespace: Namespace
    name: str
    user: str
    is_needed: bool
    limit: float = math.inf


class _Census:
    """Finds the globals that have to be sent, by pickling everything once to nowhere.

    Needed is what the program's functions use. Other classes and functions of the by-value modules are sent, too, if
    they can be, since values may refer to them. A function that nobody is known to need, such as `main`, brings only
    light data along: what it uses may be all the data there is.

    Attributes:
        reducer: knows the spaces of the entries.
    """

    def __init__(self, by_value: frozenset[str]) -> None:
        self._functions: list[FunctionType] = []
        self.reducer = Reducer(by_value, self._functions.append)
        self._by_value = by_value
        self._probe = _Probe(self.reducer)
        self._queue: deque[_Entry] = deque()
        self._known: set[tuple[int, str]] = set()
        self._entries: list[tuple[Namespace, str]] = []

    def take(self, program: Program) -> list[tuple[Namespace, str]]:
        """Return the globals to send, the users of each before it."""
        for user, function in functions_of(program):
            error = self._probe.refusal(function)
            if error is not None:
                raise self._refuse(user, "its function", function, error)
            self._enqueue_globals(user, is_needed=True, limit=math.inf)
        self._follow()
        self._offer(type, math.inf)
        self._offer(FunctionType, _LIGHT)
        return self._entries

    def _offer(self, kind: type, limit: float) -> None:
        """Take the classes or functions of the by-value modules that nothing has asked for."""
        for module in (sys.modules[name] for name in self._by_value if name in sys.modules):
            for name, value in list(vars(module).items()):
                if isinstance(value, kind) and value.__module__ == module.__name__:
                    namespace = self.reducer.namespace_at(vars(module))
                    self._enqueue(_Entry(namespace, name, module.__name__, is_needed=False, limit=limit))
        self._follow()

    def _enqueue(self, entry: _Entry) -> None:
        place = id(entry.namespace.names), entry.name
        if place not in self._known and entry.name not in _UNSENT:
            self._known.add(place)
            self._queue.append(entry)

    def _enqueue_globals(self, user: str, *, is_needed: bool, limit: float) -> None:
        """Queue what the functions use that were met since the last time."""
        for function in self._functions:
            namespace = self.reducer.namespace_of(function)
            for name in find_globals(function.__code__) if namespace.is_sent else ():
                if name in namespace.names:
                    self._enqueue(_Entry(namespace, name, user, is_needed, limit))
                    self._enqueue_attributes(user, function.__code__, namespace.names[name])
        self._functions.clear()

    def _enqueue_attributes(self, user: str, code: CodeType, module: Any) -> None:
        """Queue what a function may use of a by-value module that it knows as a module."""
        if isinstance(module, ModuleType) and module.__name__ in self._by_value:
            for name in set(code.co_names) & vars(module).keys():
                self._enqueue(_Entry(self.reducer.namespace_at(vars(module)), name, user, is_needed=False))

    def _follow(self) -> None:
        """Take what is queued, and what that uses in turn."""
        while self._queue:
            entry = self._queue.popleft()
            value = entry.namespace.names[entry.name]
            error = self._probe.refusal(value, entry.limit)
            if error is None:
                self._entries.append((entry.namespace, entry.name))
                self._enqueue_globals(entry.user, is_needed=entry.is_needed, limit=entry.limit)
            elif entry.is_needed:
                raise self._refuse(entry.user, f"global {entry.name!r}", value, error)
            self._functions.clear()

    def _refuse(self, user: str, what: str, value: Any, error: ShippingError) -> ShippingError:
        """Return the error that says which part of `value` cannot be sent."""
        what, culprit = find_culprit(what, value, lambda part: _Probe(self.reducer).refusal(part) is None)
        text = f"{user}: {what} ({describe_kind(culprit)}) cannot be sent: {error}; make it a @resource"
        refusal = ShippingError(text)
        refusal.__cause__ = error.__cause__
        return refusal


class _Probe:
    """Pickles to nowhere, to learn whether it can be done: it is the file, keeps nothing and refuses too much."""

    def __init__(self, reducer: Reducer) -> None:
        self._reducer = reducer
        self._left = math.inf
        self._begin()

    def refusal(self, value: Any, limit: float = math.inf) -> ShippingError | None:
        """Return why a value cannot be sent; `None`: it can, in no more than about `limit` bytes."""
        self._left = limit
        try:
            dump(self._pickler, value)
        except ShippingError as error:
            self._begin()  # what was half written must not pass for known
            return error
        return None

    def _begin(self) -> None:
        self._pickler = make_pickler(self, self._reducer, self._weigh)

    def write(self, data: Any, /) -> int:
        """Take bytes; return how many."""
        size = memoryview(data).nbytes
        self._left -= size
        if self._left < 0:
            raise ShippingError("too big")
        return size

    def _weigh(self, buffer: pickle.PickleBuffer) -> bool:
        """Take a buffer, so that it is not copied into the pickle."""
        self.write(buffer)
        return False


def functions_of(program: Program) -> Iterator[tuple[str, Any]]:
    """Yield whatever of a program is the user's, each with whose it is."""
    yield from ((f"setup {spec.name!r}", spec.function) for spec in program.setups)
    for stage in program.stages.values():
        for call in stage.calls:
            node = f"node {call.node!r}"
            yield node, call.function
            yield node, call.on_error
            yield node, stage.factory
            for inner in stage.inner:
                yield from ((f"node {stage.calls[number].node!r}", factory) for number, factory in inner.folds)
            for argument in call.arguments:
                if argument.resource is not None:
                    yield f"resource {argument.resource.name!r}", argument.resource.function
