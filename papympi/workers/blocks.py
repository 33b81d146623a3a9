"""The shared blocks of MPI libraries, which some of them leave behind: finds them, and takes away their names."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

_BLOCKS: Final = ("/dev/shm/mpich_shm_", "/dev/shm/sm_segment.", "/dev/shm/vader_segment.")  # noqa: S108 - names to look for


def find_blocks(pid: int) -> set[Path]:
    """Return the files of the shared blocks that an MPI library has mapped into a process."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # another system, or the process is gone
        return set()
    return {Path(line.split(None, 5)[-1]) for line in lines if any(name in line for name in _BLOCKS)}


def drop_blocks(pid: int) -> None:
    """Take away the names of such blocks: they go when the last rank does, however it ends."""
    for path in find_blocks(pid):
        with contextlib.suppress(OSError):
            path.unlink()
