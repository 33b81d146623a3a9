"""Starts what makes workers before the runner has loaded all that it needs itself, so that both load at a time."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from papympi.model.beginning import ARGUMENTS, FOLDER
from papympi.model.graph import Graph
from papympi.plan.preparation import Preparation, SourceFile
from papympi.runner.launch import launched_ranks
from papympi.runner.loading import find_pipeline, name_module
from papympi.runner.options import RunOptions
from papympi.runner.pooling import ALL, Given, PoolSpec
from papympi.workers.children.early import end_early, start_early
from papympi.workers.cpus import count_cpus

_POOLS: Final = re.compile(rb"\bpool\s*=\s*[\"'](\w+)[\"']")
_NODES: Final = re.compile(rb"^\s*@(?:[\w.]+\.)?node\b", re.MULTILINE)
_BACKEND: Final = "processes"
_started: Final[list[bool]] = []
"""Whether a run has begun in this process."""


@contextmanager
def early_template(target: str, options: RunOptions) -> Iterator[None]:
    """Let a template load a pipeline file while the block begins, if its nodes look as if they needed processes."""
    path = find_pipeline(target)
    if path is not None and count_cpus() > 1 and _needs_processes(path, options):
        start_early(_describe(path.resolve()))
    try:
        yield
    finally:
        end_early()


@contextmanager
def early_server(graph: Graph, options: RunOptions, given: Mapping[str, Given]) -> Iterator[None]:
    """Start a fork server if a pool of a graph looks as if it needed one: the first run of a program waits for it.

    If the block raises, it ends again.

    Args:
        graph: what is about to run.
        options: from the file and the environment.
        given: pools from the call.
    """
    names = {node.options.pool or options.pool or _BACKEND for node in graph.nodes.values() if not node.awaits}
    if not _started and not launched_ranks() and os.name == "posix" and count_cpus() > 1:
        _started.append(True)
        if any(_find_backend(name, options, given) == _BACKEND for name in names):
            start_early()
    try:
        yield
    except BaseException:
        end_early()
        raise


def _describe(path: Path) -> Preparation:
    """Return how a template loads a file, as the runner is about to."""
    name, folder = name_module(path), str(path.parent)
    source = SourceFile(name, str(path), path.read_bytes(), path.stat().st_mtime)
    others = [entry or str(Path.cwd()) for entry in sys.path if entry != folder]
    return Preparation(ARGUMENTS, FOLDER, path=(folder, *others), sources=(source,), loads=name)


def _needs_processes(path: Path, options: RunOptions) -> bool:
    """Return whether a pool that the file names, or the usual one, has child processes. To be wrong costs time only."""
    text = path.read_bytes()
    names = {name.decode() for name in _POOLS.findall(text)}
    if len(_NODES.findall(text)) > len(_POOLS.findall(text)):
        names.add(options.pool or _BACKEND)
    return os.name == "posix" and any(_find_backend(name, options) == _BACKEND for name in names)


def _find_backend(name: str, options: RunOptions, given: Mapping[str, Given] = MappingProxyType({})) -> str:
    """Return the backend of a pool, "" if it has members or is there already."""
    spec = options.overrides.get(name) or options.overrides.get(ALL)
    if spec is not None:
        return options.pools.get(spec.backend, spec).backend
    asked = given.get(name, options.pools.get(name) or PoolSpec(name, name))
    if isinstance(asked, str):
        return asked.partition(":")[0]
    if isinstance(asked, Mapping):
        return str(asked.get("backend", name))
    return asked.backend if isinstance(asked, PoolSpec) else ""
