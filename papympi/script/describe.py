"""Describes, in the runner, what workers must do so that the script's world is theirs."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from papympi.model.beginning import ARGUMENTS, FOLDER
from papympi.plan.preparation import MainScript, Preparation, SourceFile
from papympi.plan.program import Program
from papympi.script.main_script import find_main
from papympi.script.sources import take_sources
from papympi.transport.imports import find_imports

_MAIN: Final = "__main__"
_SHIPPING: Final = "papympi.transport.ship"
"""What travels by value needs much of it; a template imports it for all."""


def describe_script(program: Program) -> Preparation:
    """Return what a worker must do to get what this process has, before it loads a program."""
    main = None if program.loads else find_main()
    path = [folder or str(Path.cwd()) for folder in sys.path]
    folders = program.path
    names = [] if main is not None or program.loads else [*_find_imports(program), _SHIPPING]
    names += [name for name in program.list_modules() if name in sys.modules and name not in program.by_value]
    return Preparation(
        first_arguments=ARGUMENTS,
        first_folder=_find_first_folder(main),
        arguments=tuple(sys.argv),
        folder=str(Path.cwd()),
        path=(*folders, *(folder for folder in path if folder not in folders)),
        environment=_read_environment(),
        sources=take_sources(_read_main(main)),
        main=main,
        loads=program.loads,
        imports=tuple(dict.fromkeys(names)),
        cells={} if main is not None or program.loads else dict(_find_cells()),
    )


def _find_first_folder(main: MainScript | None) -> str:
    """Return where the script was started, as far as Python's own command line tells; it may have gone elsewhere."""
    for word in sys.orig_argv[1:] if main is not None else ():
        relative = os.path.normpath(word)
        if word.endswith(".py") and main is not None and main.path.endswith(f"{os.sep}{relative}"):
            return main.path.removesuffix(relative)
    return FOLDER


def _find_imports(program: Program) -> Iterator[str]:
    """Yield the modules that the by-value modules have imported, but for those that travel by value themselves."""
    for module in (sys.modules[name] for name in program.by_value if name in sys.modules):
        yield from (name for name in find_imports(module) if name not in program.by_value)


def _read_main(main: MainScript | None) -> list[SourceFile]:
    """Return the script as a source, for what its functions import."""
    if main is not None:
        return [SourceFile(main.name or _MAIN, main.path, main.data)]
    path = getattr(sys.modules.get(_MAIN), "__file__", None)
    try:
        return [SourceFile(_MAIN, path, Path(path).read_bytes())] if isinstance(path, str) else []
    except OSError:
        return []


def _find_cells() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of code that is in no file: only its text can be shown in a traceback elsewhere."""
    for name, entry in list(linecache.cache.items()):
        if len(entry) > 1 and entry[1] is None:
            yield name, "".join(entry[2])


def _read_environment() -> dict[str, str | None]:
    """Return the variables that this process has set or removed since it began; what a host has, stays its own."""
    try:
        lines = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    before = dict(os.fsdecode(line).split("=", 1) for line in lines if b"=" in line)
    now = dict(os.environ)
    changed: dict[str, str | None] = {name: value for name, value in now.items() if before.get(name) != value}
    return changed | {name: None for name in before if name not in now}
