"""Load the file or module that a pipeline is written in, and find the graph in it."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import keyword
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from papympi.errors import LoadError, PapympiError, did_you_mean
from papympi.model.graph import Graph
from papympi.model.module_graph import find_module_graph
from papympi.model.telling import describe
from papympi.model.tracebacks import tell_traceback


@dataclass(frozen=True, slots=True)
class LoadedGraph:
    """A graph, and what workers need to find its functions.

    Attributes:
        graph: what to run.
        module: name under which its file or module is in `sys.modules`.
        path: folders that come first in the workers' `sys.path`.
    """

    graph: Graph
    module: str
    path: tuple[str, ...]


def load_graph(target: str) -> LoadedGraph:
    """Load `FILE`, `FILE:GRAPH`, `MODULE` or `MODULE:GRAPH`.

    A file becomes a module with the name of its stem, so that what stands under `if __name__ == "__main__"` does not
    run, and its folder comes first in `sys.path`. Without `:GRAPH` it is the module's own graph if that has nodes, else
    the one `Graph` in the module, else that of the one module with nodes that it imports.

    Raises:
        LoadError: no such file, module or graph, or one that cannot be imported; then with its traceback.
        PapympiError: whatever papympi says to a definition in it.
    """
    place, graph_name = _split(target)
    path = find_pipeline(target)
    if path is not None:
        folder = str(path.resolve().parent)
        module = _load_file(path.resolve(), folder, place)
    else:
        folder = str(Path.cwd())
        module = _load_module(place, folder)
    return LoadedGraph(_find_graph(module, graph_name, target), module.__name__, (folder,))


def find_pipeline(target: str) -> Path | None:
    """Return the file that a target names; `None`: it names a module, which is not looked for."""
    place, _ = _split(target)
    path = Path(place).expanduser()
    if _is_file(path):
        return path
    if place.endswith(".py") or "/" in place or not _is_dotted(place):
        raise LoadError(f"no such file: {describe(place)}{_closest_file(path)}")
    return None


def _split(target: str) -> tuple[str, str]:
    """Return a target's file or module, and the name of its graph ("" if it has none)."""
    place, colon, name = target.rpartition(":")
    if colon and _is_dotted(name) and not _is_file(Path(target)):
        return place, name
    return target, ""


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - of a name that is too long for a path it does not raise


def _is_dotted(name: str) -> bool:
    """Return whether a name could be that of a module."""
    return all(part.isidentifier() for part in name.split("."))


def _closest_file(path: Path) -> str:
    """Return a question for the file that was perhaps meant."""
    if os.path.isdir(path):  # noqa: PTH112 - see `_is_file`
        return f" (that is a folder; the pipeline is one file in it, e.g. {str(path / 'pipeline.py')!r})"
    if not path.parent.is_dir():
        return ""
    return did_you_mean(str(path), [str(file) for file in path.parent.glob("*.py")])


def _load_file(path: Path, folder: str, label: str) -> ModuleType:
    """Import a file as a module of its own; `label` is what messages call it."""
    name = name_module(path)
    spec = importlib.util.spec_from_file_location(
        name, path, loader=importlib.machinery.SourceFileLoader(name, str(path))
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    _put_first(folder)
    sys.modules[name] = module
    with _importing(label):
        spec.loader.exec_module(module)
    return module


def name_module(path: Path) -> str:
    """Return the stem of a file if that is free and can name a module, else one made from it."""
    stem = path.stem
    if stem.isidentifier() and not keyword.iskeyword(stem) and not _is_taken(stem, path):
        return stem
    safe = "pipeline_" + re.sub(r"\W", "_", stem)
    name, number = safe, 1
    while _is_taken(name, path):
        number += 1
        name = f"{safe}_{number}"
    return name


def _is_taken(name: str, path: Path) -> bool:
    """Return whether another module than the file itself has the name."""
    if name in sys.modules:
        return True
    spec = importlib.util.find_spec(name)
    if spec is None:
        return False
    return spec.origin is None or Path(spec.origin).resolve() != path


def _load_module(name: str, folder: str) -> ModuleType:
    """Import a module by its name, from the working folder too."""
    _put_first(folder)
    parts = name.split(".")
    with _importing(name):
        found = all(importlib.util.find_spec(".".join(parts[:count])) for count in range(1, len(parts) + 1))
    if not found:
        raise LoadError(f"no file and no module named {name!r}; a file's name ends in .py")
    with _importing(name):
        return importlib.import_module(name)


def _put_first(folder: str) -> None:
    """Make a folder the first to import from."""
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)


def _find_graph(module: ModuleType, name: str, target: str) -> Graph:
    """Return the graph that was asked for, or the one there is."""
    graphs = {key: value for key, value in vars(module).items() if isinstance(value, Graph)}
    if name:
        found = module
        for part in name.split("."):
            found = getattr(found, part, None)  # type: ignore[assignment]  # a graph may be an attribute of anything
        if isinstance(found, Graph):
            return found
        raise LoadError(f"{target!r}: no graph named {name!r}{_list_graphs(graphs, name)}")
    own = find_module_graph(vars(module))
    if own.nodes:
        return own
    different = {id(value): value for value in graphs.values()}
    different.pop(id(own), None)
    if len(different) == 1:
        return next(iter(different.values()))
    if different:
        raise LoadError(f"{target!r} has several graphs; say which: {', '.join(f'{target}:{key}' for key in graphs)}")
    imported = own.imported()
    if imported:
        return imported[0] if len(imported) == 1 else own
    raise LoadError(f"{target!r} defines no node; mark its functions with @papympi.node")


def _list_graphs(graphs: dict[str, Graph], name: str) -> str:
    """Return what graphs there are, the closest first."""
    if not graphs:
        return "; it has none"
    return did_you_mean(name, graphs) or f"; it has {', '.join(map(repr, graphs))}"


@contextmanager
def _importing(what: str) -> Iterator[None]:
    """Turn whatever ends an import into a `LoadError` that has the user's part of the traceback."""
    try:
        yield
    except PapympiError:
        raise
    except (Exception, SystemExit) as error:
        text = tell_traceback(error)
        brief = text.strip().splitlines()[-1]
        raise LoadError(f"{what!r} cannot be loaded: {brief}", text) from error
