"""The sources of the user's own modules: taken in the runner when a run begins, and what workers load these from."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from papympi.model.users_code import is_users_file
from papympi.plan.preparation import SourceFile

_OURS: Final = "papympi"
_LAZY: Final = rb"(?m)^[ \t]+(?:import[ \t]+([\w. ,\t]+)|from[ \t]+([\w.]+)[ \t]+import[ \t(]+([\w ,\t]+))"
"""An import within a function, which may not have happened yet."""


def take_sources(more: Iterable[SourceFile] = ()) -> tuple[SourceFile, ...]:
    """Return the user's own modules that are loaded here, and those that these import within functions.

    Args:
        more: sources that are no modules here, whose imports count, too.
    """
    taken: dict[str, SourceFile] = {}
    for name, module in list(sys.modules.items()):
        source = _take(name, module)
        if source is not None:
            taken[name] = source
    waiting = [*taken.values(), *more]
    while waiting:
        for name, path in _find_lazy(waiting.pop()):
            source = None if name in taken else _read(name, path)
            if source is not None:
                taken[name] = source
                waiting.append(source)
    return tuple(taken.values())


def is_own(path: str) -> bool:
    """Return whether a file is the user's own: neither of the standard library nor installed."""
    return path.endswith(".py") and is_users_file(path)


def _take(name: str, module: ModuleType | None) -> SourceFile | None:
    """Return the source of a loaded module that is the user's own."""
    path = getattr(module, "__file__", None)
    if not isinstance(path, str) or not is_own(path) or _is_ours(name):
        return None
    spec = getattr(module, "__spec__", None)
    return None if spec is None or spec.name != name else _read(name, path)


def _is_ours(name: str) -> bool:
    return name.partition(".")[0].startswith(_OURS)


def _read(name: str, path: str) -> SourceFile | None:
    """Return a file as it is now; `None`: it is not there."""
    try:
        changed = Path(path).stat()
    except OSError:
        return None
    return _read_once(name, path, changed.st_mtime, changed.st_size)


@cache
def _read_once(name: str, path: str, changed: float, _size: int) -> SourceFile | None:
    """Return a file that is changed only together with its time or size."""
    try:
        return SourceFile(name, path, Path(path).read_bytes(), changed)
    except OSError:
        return None


def _find_lazy(source: SourceFile) -> Iterator[tuple[str, str]]:
    """Yield name and path of each own module that the functions of a module import and nobody has yet."""
    package = source.name if source.is_package else source.name.rpartition(".")[0]
    for plain, start, parts in re.findall(_LAZY, source.data):
        if plain:
            names = [word.split()[0] for word in plain.decode().split(",") if word.split()]
        else:
            home = _resolve(start.decode(), package)
            names = [home, *(f"{home}.{word.split()[0]}" for word in parts.decode().split(",") if word.split())]
        for name in names:
            yield from _find_files(name)


def _resolve(name: str, package: str) -> str:
    """Return the full name of a module that may be named relative to a package."""
    dots = len(name) - len(name.lstrip("."))
    if not dots:
        return name
    home = package.split(".")[: len(package.split(".")) - dots + 1]
    return ".".join([*home, *filter(None, [name[dots:]])])


def _find_files(name: str) -> list[tuple[str, str]]:
    """Return name and path of an own module, and of the packages around it, without importing any."""
    found: list[tuple[str, str]] = []
    if name in sys.modules:
        return found
    folders: Sequence[str] | None = None
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        part = ".".join(parts[:count])
        spec = PathFinder.find_spec(part, folders)
        if spec is None or _is_ours(part):
            break
        if spec.origin is not None and spec.has_location:
            if not is_own(spec.origin):
                break
            found.append((part, spec.origin))
        folders = spec.submodule_search_locations
        if folders is None:
            break
    return found


class _SourceLoader(SourceFileLoader):
    """Loads a module from a source that was taken; a compiled file that fits to it is used."""

    def __init__(self, source: SourceFile) -> None:
        super().__init__(source.name, source.path)
        self._source = source

    def get_data(self, path: str) -> bytes:
        """Return the source, or what a compiled file holds."""
        return self._source.data if path == self.path else super().get_data(path)

    def path_stats(self, path: str) -> dict[str, Any]:  # noqa: ARG002 - there is one source
        """Return what a compiled file that fits has noted."""
        return {"mtime": self._source.changed, "size": len(self._source.data)}

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        """Write no compiled file: the folder may not be there."""


class SourceFinder:
    """Where a worker's imports look first: sources that have come, each module as it was when the run began."""

    def __init__(self) -> None:
        self._sources: dict[str, SourceFile] = {}

    def put(self, sources: Iterable[SourceFile]) -> None:
        """Add sources; a module that was loaded from another one is forgotten, to be loaded anew."""
        for source in sources:
            before = self._sources.get(source.name)
            if before is not None and before.data != source.data:
                sys.modules.pop(source.name, None)
            self._sources[source.name] = source

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is, if its source is here."""
        source = self._sources.get(fullname)
        if source is not None:
            spec = ModuleSpec(fullname, _SourceLoader(source), origin=source.path, is_package=source.is_package)
            spec.has_location = True
            if spec.submodule_search_locations is not None:
                spec.submodule_search_locations.append(str(Path(source.path).parent))
            return spec
        return self._find_namespace(fullname) if _path is None or not list(_path) else None

    def _find_namespace(self, name: str) -> ModuleSpec | None:
        """Return a package without a file of its own, if a source is in it and there is no such package here."""
        inside = next((source for source in self._sources.values() if source.name.startswith(f"{name}.")), None)
        if inside is None or PathFinder.find_spec(name) is not None:
            return None
        spec = ModuleSpec(name, None, is_package=True)
        depth = inside.name.count(".") - name.count(".") + inside.is_package
        assert spec.submodule_search_locations is not None
        spec.submodule_search_locations.append(str(Path(inside.path).parents[depth - 1]))
        return spec


finder: Final = SourceFinder()
"""That of this process; `serve` puts it in its place."""


def serve(sources: Iterable[SourceFile]) -> None:
    """Let this process load modules from their sources from now on."""
    finder.put(sources)
    if finder not in sys.meta_path:
        sys.meta_path.insert(0, finder)
