"""The batch script that requeues itself, alone: real requeues, and a stand-in for papympi that ends as it is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from papympi.launchers.slurm_job import Job

pytestmark = pytest.mark.timeout(300)

STAND_IN = (sys.executable, str(Path(__file__).with_name("papympi_stand_in.py")))
SCRIPTS = {
    "short": ({}, {"own-end": 5}),
    "crash": ({}, {"crash": 3}),
    "idle": ({}, {"own-end": 0}),
    "limit": ({"requeues": 1}, {"own-end": 3}),
    "chain": ({"directives": ("--no-requeue",)}, {"own-end": 5}),
    "typo": ({"command": (*STAND_IN[:1], "-c", "import sys; print(0); sys.exit(2 * (sys.argv[1] == 'run'))")}, {}),
}
"""Jobs by name: their options, and those of the stand-in. They run side by side."""


@pytest.fixture(scope="module")
def started(_running, tmp_path_factory):
    """Return number and folder of each job."""
    found = {}
    for name, (options, settings) in SCRIPTS.items():
        folder = tmp_path_factory.mktemp(name)
        (folder / "run").mkdir()
        words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
        job = Job(
            arguments=("x.py", *words), run_dir="run", until_done=True, job_name=name, time="10", launcher="srun",
            **{"command": STAND_IN, **options},
        )  # fmt: skip
        found[name] = (_running.submit(job, folder), folder)
    yield found
    _running.call("scancel", *(number for number, _ in found.values()))


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def log_of(folder):
    return "".join(path.read_text() for path in sorted((folder / "run").glob("*.log")))


@pytest.mark.parametrize("name", ["short", "crash"])
def test_early_end_is_followed(cluster, started, name):
    """An attempt that ends too early is followed by another."""
    number, folder = started[name]
    assert cluster.wait(number) == "COMPLETED", log_of(folder)
    assert lines(folder / "run" / "done") == [str(item) for item in range(10)]
    assert lines(folder / "run" / "attempts")[:2] == [f"{number} 0", f"{number} 1"]


def test_no_progress_stops_it(cluster, started):
    """Without progress it stops."""
    number, folder = started["idle"]
    assert cluster.wait(number) == "FAILED"
    assert "this attempt ended with code 75 and has finished nothing: 0 results, as before" in log_of(folder)
    assert len(lines(folder / "run" / "attempts")) == 1


def test_it_stops_at_its_limit(cluster, started):
    number, folder = started["limit"]
    assert cluster.wait(number) == "FAILED"
    assert "6 results are finished, and work is left" in log_of(folder)
    assert len(lines(folder / "run" / "attempts")) == 2


def test_another_job_follows(cluster, started):
    """Where jobs may not be requeued another one follows."""
    number, folder = started["chain"]
    assert cluster.wait(number) == "FAILED"
    following = (folder / "run" / "submit.job").read_text().strip()
    assert f"job {following} goes on" in log_of(folder)
    cluster.jobs.append(following)
    assert cluster.wait(following) == "COMPLETED", log_of(folder)
    assert lines(folder / "run" / "attempts") == [f"{number} 0", f"{following} 0"]
    assert lines(folder / "run" / "done") == [str(item) for item in range(10)]


def test_mistake_is_not_repeated(cluster, started):
    number, folder = started["typo"]
    assert cluster.wait(number) == "FAILED"
    assert "once more" not in log_of(folder)
    assert cluster.look(number, "%r") == "NonZeroExitCode"
