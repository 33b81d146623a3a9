"""The shared blocks of MPI libraries, which some of them leave behind: finds them, and takes away their names."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from papympi.script.imports import when_loaded

_BLOCKS: Final = ("/dev/shm/mpich_shm_", "/dev/shm/sm_segment.", "/dev/shm/vader_segment.")  # noqa: S108 - names to look for
_LATE: Final = "/dev/shm/ucx_shm_posix_"  # noqa: S108 - likewise; other ranks may map it at any time
_GRACE_S: Final = 3.0
"""How long what was killed may take to end."""
_ABANDONED_S: Final = 600.0
"""A block of this age, in seconds, is no longer waited for by a job that starts."""


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


def drop_abandoned() -> None:
    """Remove what jobs of this user have left on this host that were killed while MPI started: nobody else can."""
    then = time.time() - _ABANDONED_S
    found = set[Path]()
    for name in _BLOCKS:
        for path in Path(name).parent.glob(f"{Path(name).name}*"):
            with contextlib.suppress(OSError):
                about = path.lstat()
                found |= {path} if about.st_uid == os.geteuid() and about.st_mtime < then else set()
    if found:
        found -= set[Path]().union(*(find_blocks(int(each.name)) for each in Path("/proc").glob("[0-9]*")))
    for path in found:
        path.unlink(missing_ok=True)


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


def watch_import() -> None:
    """Drop the blocks of an MPI that user code initialises here as soon as it has: this process may be killed."""
    when_loaded("mpi4py.MPI", "blocks", lambda: drop_blocks(os.getpid(), (*_BLOCKS, _LATE)))
