"""A real Slurm cluster of four virtual hosts on this machine, for all tests of this folder.

It is started when the first test asks for it and taken down at the end, unless another session on this machine uses it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from papympi.launchers.slurm import batch_text
from papympi.launchers.slurm_job import Job

SCRIPT = Path(__file__).parent.parent.parent / "slurm" / "cluster" / "cluster.sh"
LOCK = Path(os.environ.get("PAPYMPI_CLUSTER", "/var/tmp/papympi-cluster") + ".lock")
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY"}


@dataclass
class Cluster:
    """The cluster as a user on its login node sees it."""

    environment: dict[str, str]
    jobs: list[str] = field(default_factory=list)

    def call(self, *words: object, timeout: float = 60, **options: object) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        argv = list(map(str, words))
        options = {"env": self.environment, "capture_output": True, "text": True, "timeout": timeout, **options}
        return subprocess.run(argv, check=options.pop("check", False), **options)

    def power(self, what: str, *hosts: str) -> None:
        """Cut the power of hosts, or boot them."""
        self.call(SCRIPT, what, *hosts, check=True)

    def submit(self, job: Job, folder: Path, *options: str) -> str:
        """Submit a job and return its number."""
        script = folder / "script.sbatch"
        script.write_bytes(os.fsencode(batch_text(job)))
        return self.take(self.call("sbatch", "--parsable", *options, script, cwd=folder))

    def take(self, done: subprocess.CompletedProcess[str]) -> str:
        """Return the number of the job that a command has submitted."""
        assert done.returncode == 0, done.stderr
        self.jobs.append(done.stdout.strip())
        return self.jobs[-1]

    def look(self, job: str, form: str = "%T") -> str:
        """Return what squeue says of a job."""
        return self.call("squeue", "--noheader", "--states=all", f"--jobs={job}", f"--format={form}").stdout.strip()

    def wait(self, job: str, *states: str, seconds: float = 90) -> str:
        """Wait until a job is in one of these states, or has ended if none is given, and return the state."""
        return self.wait_for(lambda: (state := self.look(job)) in (set(states) or ENDED) and state, seconds)

    def wait_for(self, condition: Callable[[], object], seconds: float = 60) -> object:
        """Wait until a condition holds, and return what it returns."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, self.call("squeue", "--states=all", "--format=%i %j %T %r %S").stdout
            time.sleep(0.1)
        return found


@pytest.fixture(scope="session")
def _running() -> Iterator[Cluster]:
    """Return the cluster; one for the session."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("a Slurm cluster is installed with apt, by root; `papympi doctor` says more")
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([SCRIPT, "up"], capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, done.stderr
        fcntl.flock(lock, fcntl.LOCK_SH)
        configuration = subprocess.run([SCRIPT, "env"], capture_output=True, text=True, check=True).stdout
        name, _, value = configuration.strip().removeprefix("export ").partition("=")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PAPYMPI_")}
        yield Cluster({**kept, "PATH": path, name: value})
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody else's tests are running on it
            return
        subprocess.run([SCRIPT, "down"], timeout=60, check=True)


@pytest.fixture
def cluster(_running: Cluster) -> Iterator[Cluster]:
    """Return the cluster; the jobs of a test are cancelled at its end."""
    _running.jobs.clear()
    yield _running
    if _running.jobs:
        _running.call("scancel", *_running.jobs)
