"""Fingerprints of code: of a node's function and of every function of the user's that it can reach."""

from __future__ import annotations

import builtins
import dis
import functools
import importlib.util
import inspect
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from papympi.model.node import Node
from papympi.model.options import pick_fingerprinted
from papympi.plan.wiring import Wiring
from papympi.stores.digest import digest

Fingerprint = dict[str, str]
"""For each function, class and constant that a node reaches, its digest by its name; `options` are the node's own."""

_ALWAYS = ("gather", "vectorized", "fold", "combine", "on_error")
"""Options that are in every fingerprint; those that were declared later are, unless they have their default, so that a
new option leaves the journals good that there are."""


def fingerprint_nodes(wiring: Wiring) -> dict[str, Fingerprint]:
    """Return the fingerprint of every node that a run needs, by its name."""
    digested: dict[int, _Digested] = {}
    return {name: _fingerprint(wiring, wiring.graph.nodes[name], digested) for name in wiring.bindings}


def list_upstream(wiring: Wiring, name: str) -> Iterator[str]:
    """Yield the names of a node and of all nodes above it; nothing if the run does not need it."""
    todo, seen = [name] if name in wiring.bindings else [], {name}
    while todo:
        current = todo.pop()
        if current in wiring.bindings:
            yield current
        for link in wiring.streams(current):
            if link.name not in seen:
                seen.add(link.name)
                todo.append(link.name)


def find_changes(before: Fingerprint, now: Fingerprint) -> list[str]:
    """Return the names of what differs between two fingerprints, most telling first."""
    changed = [name for name in now if before.get(name) != now[name]]
    return changed + [name for name in before if name not in now]


def _fingerprint(wiring: Wiring, node: Node, digested: dict[int, _Digested]) -> Fingerprint:
    code = _CodeWalker(digested)
    code.found["function"] = digest(code.stand_in(node.function)).hex()
    code.drain()
    for setup in wiring.graph.setups.values():
        code.found[f"setup {setup.name}"] = digest(code.stand_in(setup.function)).hex()
    code.drain()
    for link in wiring.bindings[node.name]:
        if link.kind == "resource":
            code.add(wiring.graph.resources[link.name].function)
    links = [(link.parameter.name, link.name, link.kind, link.place) for link in wiring.bindings[node.name]]
    told = {
        name: value if isinstance(value, str | int | float) else code.stand_in(value)
        for name, value in pick_fingerprinted(node.options).items()
    }
    *always, heals = (told.pop(name) for name in _ALWAYS)
    defaults = type(node.options)()
    more = [(name, value) for name, value in told.items() if getattr(node.options, name) != getattr(defaults, name)]
    parts = (tuple(always), heals, links, *([more] if more else []))
    code.drain()
    return {**code.found, "options": digest(parts).hex()}


class _Digested(NamedTuple):
    """A function or class, its digest, and what it reaches."""

    thing: Any
    digest: str
    reached: list[Any]


class _CodeWalker:
    """Everything that a function reaches.

    Args:
        digested: what is known already of functions and classes, by identity: others may reach them, too.

    Attributes:
        found: digests by name.
    """

    def __init__(self, digested: dict[int, _Digested]) -> None:
        self.found: Fingerprint = {}
        self._digested = digested
        self._reached: list[Any] | None = None
        self._todo: list[Any] = []
        self._seen: set[int] = set()
        self._kept: list[Any] = []  # so that no id is used twice

    def add(self, thing: Any) -> None:
        """Look at a function or class, once."""
        if self._reached is not None:
            self._reached.append(thing)
        elif id(thing) not in self._seen:
            self._seen.add(id(thing))
            self._kept.append(thing)
            self._todo.append(thing)

    def drain(self) -> None:
        """Look at what has been found, and at what that reaches."""
        while self._todo:
            thing = self._todo.pop()
            name = f"{thing.__module__}.{thing.__qualname__}"
            while name in self.found:  # lambdas, and what a decorator has wrapped, share a name
                name += "'"
            known = self._digested.get(id(thing)) or self._look(thing)
            self.found[name] = known.digest
            for each in known.reached:
                self.add(each)

    def _look(self, thing: Any) -> _Digested:
        """Return the digest of a function or class, and note it for whoever comes to it next."""
        reached: list[Any] = []
        self._reached = reached
        try:
            described = (f"{thing.__module__}.{thing.__qualname__}", self._describe(thing))
            known = _Digested(thing, digest(described, self._special).hex(), reached)
        finally:
            self._reached = None
        self._digested[id(thing)] = known
        return known

    def stand_in(self, value: Any) -> Any:
        """Return what stands for a value in a digest: the user's functions and classes by name, looked at apart."""
        return digest(value, self._special)

    def _special(self, value: Any) -> Any | None:
        """Return what stands for a value in a digest."""
        for kind, take_apart in _KINDS:
            if isinstance(value, kind):
                return take_apart(value)
        if isinstance(value, FunctionType | type | BuiltinFunctionType) or hasattr(value, "__wrapped__"):
            return self._name(value)
        if _is_users(type(value).__module__):
            self.add(type(value))
        return None

    def _name(self, value: Any) -> Any:
        module = getattr(value, "__module__", None) or ""
        name = getattr(value, "__qualname__", repr(type(value)))
        inner = value if isinstance(value, FunctionType | type) else inspect.unwrap(value)
        if isinstance(inner, FunctionType | type) and _is_users(inner.__module__):
            self.add(inner)
            return ("users", module, name)
        return ("foreign", module, name, _version(module))

    def _describe(self, thing: Any) -> Any:
        """Return what a function or class is made of."""
        if isinstance(thing, type):
            members = {key: value for key, value in vars(thing).items() if key not in _UNTOLD}
            return ("class", [base.__qualname__ for base in thing.__mro__], members)
        cells = [_contents(cell) for cell in thing.__closure__ or ()]
        codes = list(_list_codes(thing.__code__))
        names = dict.fromkeys(
            name for code in codes for name in code.co_names if name not in _UNFOLLOWED and not hasattr(builtins, name)
        )
        used = {name: thing.__globals__[name] for name in names if name in thing.__globals__}
        modules = [value for value in used.values() if isinstance(value, ModuleType)]
        steps = (step for code in codes for step in dis.get_instructions(code) if step.opname == "IMPORT_NAME")
        files = [_digest_file(name) for name in dict.fromkeys(str(step.argval) for step in steps)]
        code = _describe_code(thing.__code__, thing.__doc__)
        parts = (thing.__defaults__, thing.__kwdefaults__, cells, used, _attributes(modules, names), files)
        return ("function", code, parts)


_UNTOLD = frozenset(
    {"__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__", "__annotations__", "__annotate_func__"}
    | {"__static_attributes__", "__abstractmethods__", "_abc_impl", "__annotate__", "__annotations_cache__"}
)
_UNFOLLOWED = frozenset({"__builtins__", "__doc__", "__file__", "__name__"})


def _describe_code(code: CodeType, told: str | None = None) -> tuple[Any, ...]:
    """Return what a code object does, without where it stands and what its docstring tells."""
    constants = code.co_consts[1:] if told is not None and code.co_consts[:1] == (told,) else code.co_consts
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return ("code", code.co_code, constants, names, code.co_argcount, code.co_kwonlyargcount, code.co_flags)


def _list_codes(code: CodeType) -> Iterator[CodeType]:
    """Yield a code object and those within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _list_codes(constant)


def _digest_file(name: str) -> bytes | None:
    """Return the digest of the file of a user's module that a function imports when it runs, loaded or not."""
    if not name or name.partition(".")[0] in sys.stdlib_module_names:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):  # it will not be there when it is wanted either
        return None
    if spec is None or spec.origin is None or _is_installed(spec.origin) or not Path(spec.origin).is_file():
        return None
    return digest(Path(spec.origin).read_bytes())


def _attributes(modules: Iterable[ModuleType], names: Iterable[str]) -> dict[str, Any]:
    """Return what functions take from the user's modules by attribute, in modules within modules, too."""
    found: dict[str, Any] = {}
    todo = [module for module in modules if _is_users(module.__name__)]
    seen = set(todo)
    while todo:
        module = todo.pop()
        for name in names:
            value = vars(module).get(name)
            if isinstance(value, ModuleType) and value not in seen and _is_users(value.__name__):
                seen.add(value)
                todo.append(value)
            elif value is not None and not isinstance(value, ModuleType):
                found[f"{module.__name__}.{name}"] = value
    return found


def _name_module(module: ModuleType) -> tuple[Any, ...]:
    return ("module", module.__name__, "" if _is_users(module.__name__) else _version(module.__name__))


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that has no value yet
        return None


def _is_users(name: str) -> bool:
    """Return whether a module is the user's own: neither of the standard library nor installed."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names and top != "__main__":
        return False
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    return file is None or not _is_installed(file)


@functools.lru_cache(maxsize=1024)
def _is_installed(file: str) -> bool:
    path = Path(file).resolve()
    return any(path.is_relative_to(folder) for folder in _folders())


@functools.lru_cache(maxsize=1)
def _folders() -> tuple[Path, ...]:
    paths: Mapping[str, str] = sysconfig.get_paths()
    places: Iterable[str] = [paths["purelib"], paths["platlib"], paths["stdlib"], site.getusersitepackages()]
    own = Path(__file__).resolve().parent.parent
    return (own, *(Path(place).resolve() for place in places))


def _version(name: str) -> str:
    """Return the version of the distribution that an installed module is from; "" for the standard library."""
    top = name.partition(".")[0]
    if not top or top in sys.stdlib_module_names:
        return ""
    return find_version(top) or str(getattr(sys.modules.get(top), "__version__", ""))


@functools.lru_cache(maxsize=256)
def find_version(distribution: str) -> str:
    """Return the version of a distribution, "" if it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


_KINDS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (ModuleType, _name_module),
    (functools.partial, lambda partial: ("partial", partial.func, partial.args, partial.keywords)),
    (MethodType, lambda method: ("method", method.__func__, method.__self__)),
    (property, lambda own: ("property", own.fget, own.fset, own.fdel)),
    ((staticmethod, classmethod), lambda method: (type(method).__name__, method.__func__)),
    (CodeType, _describe_code),
)
"""How values are taken apart that are made of functions."""
