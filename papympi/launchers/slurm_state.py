"""Which job of Slurm this process is in, and what Slurm says of one."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Final

ALIVE: Final = frozenset(
    {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD", "STOPPED"}
)
"""States of a job that may still do something."""
AT_WORK: Final = frozenset({"CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"})
"""States of a job that may have processes."""
ANSWER_S: Final = 60.0
"""How long a program that is only asked something may take."""


def find_job(environ: Mapping[str, str]) -> tuple[str, int] | None:
    """Return the job of a process as squeue and scancel take it, and how often it has been begun again.

    A task of an array is named as one: the plain number of its last task would be that of the whole array.
    """
    name = environ.get("SLURM_JOB_ID", "")
    if not name:
        return None
    if "SLURM_ARRAY_TASK_ID" in environ and "SLURM_ARRAY_JOB_ID" in environ:
        name = f"{environ['SLURM_ARRAY_JOB_ID']}_{environ['SLURM_ARRAY_TASK_ID']}"
    restarts = environ.get("SLURM_RESTART_COUNT", "")
    return name, int(restarts) if restarts.isdecimal() else 0


def ask_states(job: str) -> set[str] | None:
    """Return the states of a job, several if it is an array, none if Slurm does not know it; `None`: nobody answers."""
    done = ask_squeue(job, "%T")
    if done is None or (done.returncode and "Invalid job id" not in done.stderr):
        return None
    return set(done.stdout.split())


def ask_squeue(job: str, form: str) -> subprocess.CompletedProcess[str] | None:
    """Return what squeue says of a job in some form; `None`: there is none that answers, or that is no job."""
    if shutil.which("squeue") is None or re.fullmatch(r"\d+(_\d+)?", job, re.ASCII) is None:
        return None
    return call(["squeue", "--noheader", "--states=all", f"--jobs={job}", f"--format={form}"])


def call(argv: list[str]) -> subprocess.CompletedProcess[str] | None:
    """Run a program that is only asked something; `None` if it does not come to its end."""
    try:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
