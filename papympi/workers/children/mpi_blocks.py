"""The shared blocks of MPI libraries, which some of them leave behind: finds them, and takes away their names."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from importlib.abc import Loader  # importing it takes as long as much of what a worker needs

_BLOCKS: Final = ("/dev/shm/mpich_shm_", "/dev/shm/sm_segment.", "/dev/shm/vader_segment.")  # noqa: S108 - names to look for
_LATE: Final = "/dev/shm/ucx_shm_posix_"  # noqa: S108 - likewise; other ranks may map it at any time
_GRACE_S: Final = 3.0
"""How long what was killed may take to end."""


def find_blocks(pid: int, names: Sequence[str] = _BLOCKS) -> set[Path]:
    """Return the files of the shared blocks that an MPI library has mapped into a process."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # another system, or the process is gone
        return set()
    return {Path(line.split(None, 5)[-1]) for line in lines if any(name in line for name in names)}


def drop_blocks(pid: int, names: Sequence[str] = _BLOCKS) -> None:
    """Take away the names of such blocks: they go when the last rank does, however it ends."""
    for path in find_blocks(pid, names):
        with contextlib.suppress(OSError):
            path.unlink()


def kill_tree(pid: int) -> None:
    """Kill an mpiexec and all that it has started, wait until they are gone, and remove their shared blocks."""
    import psutil

    try:
        root = psutil.Process(pid)
        victims = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    blocks = set[Path]().union(*(find_blocks(victim.pid) for victim in victims))
    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
    psutil.wait_procs(victims[1:], _GRACE_S)
    for path in blocks:
        path.unlink(missing_ok=True)


class _Loader:
    """Loads a module as another loader does, and tidies up behind it."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        drop_blocks(os.getpid(), (*_BLOCKS, _LATE))


class _Finder:
    """Waits for the one import that initialises MPI."""

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "mpi4py.MPI":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = cast("Loader", _Loader(spec.loader))
        return spec


def watch_import() -> None:
    """Drop the blocks of an MPI that user code initialises here as soon as it has: this process may be killed."""
    sys.meta_path.insert(0, _Finder())
