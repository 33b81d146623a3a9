"""Finds the mpiexec that belongs to the MPI library that this interpreter loads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from papympi.errors import LaunchError
from papympi.launchers.mpiexec import Launcher, read_version
from papympi.launchers.slurm_state import ANSWER_S

MISSING: Final = (
    "there is no mpiexec beside this Python nor on PATH; get one with `pip install 'papympi[mpi]'`, or load the site's "
    "MPI module (`module load mpi`)"
)


def find_launcher() -> Launcher:
    """Return the mpiexec to use: beside the library that was asked for, beside this interpreter, or on PATH."""
    for folder in _folders():
        path = shutil.which("mpiexec", path=folder)
        if path:
            return _ask(path)
    raise LaunchError(MISSING)


def _folders() -> Iterator[str]:
    """Yield where to look, the best place first."""
    library = os.environ.get("MPI4PY_LIBMPI", "")
    if library and Path(library).is_absolute():
        yield str(Path(library).parent.parent / "bin")
    if not library or Path(library).is_relative_to(sys.prefix):
        yield str(Path(sys.prefix) / "bin")
    yield os.environ.get("PATH", os.defpath)


@lru_cache(maxsize=8)
def _ask(path: str) -> Launcher:
    """Return what an mpiexec says of itself."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=ANSWER_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LaunchError(f"{path} does not say which MPI it is from: {error}") from error
    return read_version(path, done.stdout + done.stderr)
