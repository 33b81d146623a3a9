"""Prepares a worker: its settings, its modules and the user's script become those of the runner."""

from __future__ import annotations

import contextlib
import importlib
import linecache
import os
import sys
import time
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Final

from papympi.errors import ShippingError
from papympi.plan.preparation import MainScript, Preparation
from papympi.script.quiet import quiet
from papympi.script.sources import serve
from papympi.transport.rebuild import import_first

_MAIN: Final = "__main__"
_SPAWNED: Final = "__mp_main__"
"""What `multiprocessing` calls the script where it has loaded it."""

_loaded: list[MainScript] = []
_at: list[str] = []
_remembered: dict[str, bytes] = {}
"""The sources of which tracebacks show lines, by path."""


def prepare(preparation: Preparation) -> None:
    """Do what is to be done and has not been done in this process.

    Whatever the script raises comes from here, with what it has printed as a note.
    """
    serve(preparation.sources)
    _remember(preparation)
    if preparation.path:
        sys.path[:] = preparation.path
    if not _is_loaded(preparation):
        with _told():
            _load(preparation)
    _settle(preparation)
    imports = [name for name in preparation.imports if name not in sys.modules]
    with _told() if imports else contextlib.nullcontext():
        for name in imports:
            with contextlib.suppress(ShippingError), _loading(name):  # who needs it will say that it is not there
                import_first(name)


def find_loading() -> str | None:
    """Return the file or module that this process is loading for a worker; `None`: nothing."""
    return _at[-1] if _at else None


def _remember(preparation: Preparation) -> None:
    """Let tracebacks show the lines as they were when the run began, also of code whose file is not there."""
    for source in preparation.sources:
        if _remembered.get(source.path) != source.data:
            from importlib.util import decode_source  # it takes its time

            _remembered[source.path] = source.data
            with contextlib.suppress(SyntaxError, UnicodeDecodeError):  # whoever loads it will say that
                _put_lines(source.path, decode_source(source.data))
    for name, text in preparation.cells.items():
        _put_lines(name, text)


def _put_lines(name: str, text: str) -> None:
    linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name


def _is_loaded(preparation: Preparation) -> bool:
    """Return whether the script and the pipeline's module are there."""
    main = preparation.main
    if main is not None and _loaded[-1:] != [main]:
        spawned = sys.modules.get(_SPAWNED)
        if getattr(spawned, "__file__", None) != main.path:
            return False
    return not preparation.loads or preparation.loads in sys.modules


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Show nothing of what is printed while the block lasts; what it raises has the end of that as a note."""
    with quiet() as read_end:
        try:
            yield
        except BaseException as error:
            if words := read_end():
                error.add_note(f"it had printed:\n{words}")
            raise


def _load(preparation: Preparation) -> None:
    """Load the script or the pipeline's module, with what it had when the runner loaded it."""
    _begin(preparation.first_arguments, preparation.first_folder)
    if preparation.main is not None:
        with _loading(preparation.main.path):
            _load_main(preparation.main)
    if preparation.loads:
        with _loading(preparation.loads):
            importlib.import_module(preparation.loads)


def _begin(arguments: tuple[str, ...] | None, folder: str) -> None:
    """Set the arguments and the working folder."""
    if arguments is not None:
        sys.argv[:] = arguments
    if folder:
        with contextlib.suppress(OSError):
            os.chdir(folder)


def _settle(preparation: Preparation) -> None:
    """Set what belongs to the process."""
    _begin(preparation.arguments, preparation.folder)
    if preparation.path:
        sys.path[:] = preparation.path
    for name, value in preparation.environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if "TZ" in preparation.environment and hasattr(time, "tzset"):
        time.tzset()


def _load_main(main: MainScript) -> None:
    """Load a script as `__main__`, without what its guard guards."""
    from papympi.script.guard import read_guarded  # it needs the compiler's modules, and is not always needed

    guarded = read_guarded(main.data, main.path)
    if guarded is None:
        raise ShippingError(f"{main.path!r} is not guarded on this worker; does it run another Python?")
    _loaded[:] = [main]
    module = ModuleType(_MAIN)
    loader = SourceFileLoader(main.name or _MAIN, main.path)
    module.__file__ = main.path
    module.__package__ = main.name.rpartition(".")[0] if main.name else None
    module.__spec__ = ModuleSpec(main.name, loader, origin=main.path) if main.name else None
    module.__loader__ = loader
    sys.modules[_MAIN] = module
    exec(guarded.code, module.__dict__)  # noqa: S102 - it is the user's script, which runs in the runner, too


@contextlib.contextmanager
def _loading(what: str) -> Iterator[None]:
    """Note what is being loaded while the block lasts."""
    _at.append(what)
    try:
        yield
    finally:
        _at.pop()
