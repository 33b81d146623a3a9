"""What a worker must do before it loads a program, so that it has the modules and settings of the user's script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class SourceFile(NamedTuple):
    """One of the user's own modules as it was when the run began.

    Attributes:
        name: of the module.
        path: of its file, which a worker need not see.
        data: what the file held.
        changed: when it was changed, in seconds since the epoch; compiled files are known by it.
    """

    name: str
    path: str
    data: bytes
    changed: float = 0.0

    @property
    def is_package(self) -> bool:
        """Whether it is the `__init__.py` of a package."""
        return self.path.endswith("__init__.py")


class MainScript(NamedTuple):
    """A script whose last lines stand under `if __name__ == "__main__":`, so that a worker may load the rest.

    Attributes:
        path: of its file.
        data: what the file held.
        name: of the module, if Python was told `-m`; else "".
        unloaded: globals that it has and a worker has not that loaded the rest: those under the guard.
    """

    path: str
    data: bytes
    name: str = ""
    unloaded: frozenset[str] = frozenset()


class Preparation(NamedTuple):
    """What is to be done, in this order.

    Attributes:
        first_arguments: is `sys.argv` while the script is loaded; `None`: that stays.
        first_folder: is the working folder while the script is loaded, where there is such a folder; "": that stays.
        sources: modules that are loaded from here, not from their files.
        main: becomes `__main__`; `None`: no worker may load it, and what it defines travels by value.
        loads: the module that the pipeline is in; "": none.
        arguments: what `sys.argv` is from then on.
        folder: the working folder from then on.
        path: becomes `sys.path`, if there is any.
        environment: variables that the script has set (`None`: removed).
        imports: modules that the script has imported; those that a worker does not have are passed over.
        cells: code that is in no file, as that of a notebook, by the name that tracebacks have for it.
    """

    first_arguments: tuple[str, ...] | None = None
    first_folder: str = ""
    arguments: tuple[str, ...] | None = None
    folder: str = ""
    path: tuple[str, ...] = ()
    environment: Mapping[str, str | None] = {}
    sources: tuple[SourceFile, ...] = ()
    main: MainScript | None = None
    loads: str = ""
    imports: tuple[str, ...] = ()
    cells: Mapping[str, str] = {}

    def begins(self, other: Preparation) -> bool:
        """Return whether a worker that has done this one can go on with another one."""
        sources = {source.name: source.data for source in other.sources}
        same = all(sources.get(source.name) == source.data for source in self.sources)
        ours, theirs = ((each.first_arguments, each.first_folder, each.loads, each.main) for each in (self, other))
        return same and ours == theirs
