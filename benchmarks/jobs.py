"""Runs one contender in a process of its own, on MPI ranks if it needs them, and brings its figures home."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from papympi.launchers import mpiexec

ROOT = Path(__file__).parent.parent
MARK = "figures: "
BEGUN = "BENCH_BEGUN"
"""Environment variable: the monotonic clock, in seconds, when the job was started."""
ALONE = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "DASK_DISTRIBUTED__DASHBOARD__LINK": "",
}
"""One thread a worker, and nobody calls home."""


class JobError(Exception):
    """A job that brought no figures; says why."""


@dataclass(frozen=True)
class Job:
    """One contender's turn.

    Attributes:
        function: "module:function", which returns a figure for each workload, or None on ranks other than 0.
        arguments: what it gets.
        ranks: on how many ranks `mpiexec` starts it; 0 for none.
        python: which interpreter.
        patience_s: how long it may take.
    """

    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    ranks: int = 0
    python: str = sys.executable
    patience_s: float = 300.0


def run_job(job: Job) -> dict[str, float]:
    """Return the figures of a job, which leaves no process and no file behind.

    Raises:
        JobError: it failed; says why.
    """
    argv = [job.python, "-m", "benchmarks.jobs", job.function, json.dumps(dict(job.arguments))]
    if job.ranks:
        argv = add_mpiexec(job, argv)
    with tempfile.TemporaryDirectory(prefix="papympi-bench-") as folder:
        environment = mpiexec.environment(os.environ, local=True) | ALONE
        environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}
        environment["PATH"] = os.pathsep.join([str(Path(job.python).parent), os.environ.get("PATH", os.defpath)])
        environment |= {"TMPDIR": folder, BEGUN: str(time.monotonic())}
        with (Path(folder) / "said").open("w+b") as said, (Path(folder) / "errors").open("w+b") as errors:
            process = subprocess.Popen(
                argv, cwd=folder, env=environment, stdout=said, stderr=errors, start_new_session=True
            )
            try:
                code = process.wait(job.patience_s)
            except subprocess.TimeoutExpired:
                raise JobError(f"no result after {job.patience_s:.0f} s") from None
            finally:
                end_group(process)
            said.seek(0)
            errors.seek(0)
            return read_figures(code, said.read().decode(errors="replace"), errors.read().decode(errors="replace"))


def add_mpiexec(job: Job, program: list[str]) -> list[str]:
    """Return the command that starts a program on the ranks of a job.

    Raises:
        JobError: its interpreter has no mpiexec.
    """
    path = Path(job.python).parent / "mpiexec"
    if not path.exists():
        raise JobError(f"there is no {path}")
    version = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=False)
    launcher = mpiexec.read_version(str(path), version.stdout + version.stderr)
    return mpiexec.command(launcher, job.ranks, program, local=True, root=os.geteuid() == 0)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End what a job has left of its processes."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def read_figures(code: int, said: str, errors: str) -> dict[str, float]:
    """Return what a job has printed.

    Raises:
        JobError: it printed no figures.
    """
    lines = [line for line in said.splitlines() if line.startswith(MARK)]
    if code == 0 and lines:
        found: dict[str, float] = json.loads(lines[-1].removeprefix(MARK))
        return found
    said_last = [line.strip() for line in errors.splitlines() if line.strip() and not line.startswith(" ")]
    telling = [line for line in said_last if "Error" in line] or said_last or [f"exit code {code}"]
    raise JobError(telling[-1][:160])


def main() -> int:
    """Be the process of a job."""
    from importlib import import_module

    module, name = sys.argv[1].split(":")
    figures = getattr(import_module(module), name)(**json.loads(sys.argv[2]))
    if figures is not None:
        sys.stdout.write(f"\n{MARK}{json.dumps(figures)}\n")
        sys.stdout.flush()
    return 0


def seconds_since_start() -> float:
    """Return the seconds since the process of this job was started."""
    return time.monotonic() - float(os.environ[BEGUN])


if __name__ == "__main__":
    sys.exit(main())
