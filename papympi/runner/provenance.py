"""Where a run comes from: versions, host, job, and the revision of the repository that the pipeline lies in."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from papympi.launchers.slurm_state import find_job
from papympi.workers.ranks.allocation import joined

_PATIENCE_S: Final = 10.0


def describe_surroundings(folder: Path | None = None) -> dict[str, Any]:
    """Return what `run.json` says of the surroundings of a run; `folder` is in the pipeline's repository."""
    job = find_job(os.environ)
    return {
        "papympi": find_version("papympi"),
        "python": platform.python_version(),
        "executable": sys.executable,
        "mpi": _describe_mpi(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "job": job[0] if job is not None else None,
        "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "folder": str(Path.cwd()),
        "git": describe_repository(Path.cwd() if folder is None else folder),
    }


def find_version(distribution: str) -> str:
    """Return the version of a distribution, "" if it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _describe_mpi() -> dict[str, Any] | None:
    """Return what runs the ranks; `None` without ranks."""
    allocator = joined()
    if allocator is None:
        return None
    return {"mpi4py": find_version("mpi4py"), "ranks": allocator.world.size}


@lru_cache(maxsize=8)
def describe_repository(folder: Path) -> dict[str, Any] | None:
    """Return revision and dirtiness of the git repository of a folder; `None` if it is in none."""
    revision = _git(folder, "rev-parse", "HEAD")
    if revision is None:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"revision": revision.strip(), "dirty": bool((changes or "").strip())}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
