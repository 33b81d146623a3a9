"""`papympi submit` on a cluster: from the command line to the result, and what goes wrong on the way."""

import json
import signal
import sys

import psutil
import pytest

from papympi.launchers.slurm_job import Job

pytestmark = pytest.mark.timeout(300)

PIPELINE = """
import os, signal, socket, time
from papympi import node

@node(pool="mpi", stride=1)
def place(number):
    time.sleep(0.02)
    if number == int(os.environ.get("FATAL", "-1")):
        rank = os.getppid()
        while b"where.py" not in open(f"/proc/{rank}/cmdline", "rb").read():  # a template, a fork server
            rank = int(open(f"/proc/{rank}/stat").read().rpartition(")")[2].split()[1])
        os.kill(rank, signal.SIGKILL)
    if "SLEEP" in os.environ:
        time.sleep(float(os.environ["SLEEP"]))
    return [socket.gethostname(), int(os.environ.get("SLURM_PROCID", "0"))]

@node(pool="inline")
def home(place):
    return [socket.gethostname(), int(os.environ.get("SLURM_PROCID", "0"))]

@node(gather=True)
def total(number, place, home):
    return {"sum": sum(number), "ranks": sorted(map(list, {tuple(each) for each in place + home}))}
"""
SLOW = """
import subprocess
from papympi import node

@node(pool="mpi", stride=1)
def far(x):
    subprocess.run(["sleep", "0.2"], check=True)
    return x

@node(pool="processes", stride=1)
def near(far):
    subprocess.run(["sleep", "0.2"], check=True)
    print("at", far, flush=True)
    return far
"""
SUBMIT = ("papympi", "submit", "where.py", "--input", "number=0..60", "--nodes", "2", "--tasks-per-node", "4")


@pytest.fixture
def folder(project):
    (project / "where.py").write_text(PIPELINE)
    return project


def read_log(folder, number):
    return (folder / f"slurm-{number}.out").read_text(errors="replace")


@pytest.mark.parametrize("launcher", ["auto", "mpiexec"])
def test_two_hosts_use_all_ranks(cluster, folder, launcher):
    """A pipeline on two hosts uses all ranks."""
    done = cluster.call(*SUBMIT, "--output", "out.jsonl", "--time", "5", "--launcher", launcher, cwd=folder)
    number = cluster.take(done)
    assert f"tail -F slurm-{number}.out" in done.stderr
    assert f"scancel {number}" in done.stderr
    assert ("srun --mpi=pmi2, as it fits MPICH" in done.stderr) == (launcher == "auto")
    assert cluster.wait(number) == "COMPLETED", read_log(folder, number)
    [row] = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert row["value"]["sum"] == sum(range(60))
    hosts = [host for host, _ in row["value"]["ranks"]]
    assert sorted(map(hosts.count, set(hosts))) == ([4, 4] if launcher == "auto" else [1, 1])
    if launcher == "auto":
        assert sorted(rank for _, rank in row["value"]["ranks"]) == list(range(8))


def test_job_finds_its_launcher(cluster, folder):
    """Where an environment may bring another MPI, the job asks; a launcher that does not fit ends it in a line."""
    few = (*SUBMIT, "--nodes", "1", "--venv", sys.prefix)
    done = cluster.call(*few, "--output", "out.jsonl", cwd=folder)
    number = cluster.take(done)
    assert "the job finds out what starts the ranks of its MPI" in done.stderr
    assert cluster.wait(number) == "COMPLETED", read_log(folder, number)
    [row] = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert sorted(rank for _, rank in row["value"]["ranks"]) == list(range(4))
    environment = {**cluster.environment, "MPI4PY_LIBMPI": "/no/such/libmpi.so"}
    number = cluster.take(cluster.call(*few, cwd=folder, env=environment))
    assert cluster.wait(number) == "FAILED"
    [line] = read_log(folder, number).splitlines()
    assert "no MPI can be loaded in this job" in line


@pytest.mark.parametrize("kills", [0, 1])
def test_singletons_are_refused(cluster, folder, kills):
    """Singletons are refused by every task."""
    srun = ("srun", "--mpi=none", f"--kill-on-bad-exit={kills}", "-N2", "--ntasks-per-node=2")
    done = cluster.call(*srun, "papympi", "run", "where.py", "--input", "number=0..60", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.count("papympi: error: the launcher promised 4 ranks, but MPICH") == 1
    assert "`--mpi=` that fits it (pmi2, as a rule)" in done.stderr
    assert done.stdout == ""
    ended = [line for line in done.stderr.splitlines() if "Exited with exit code 2" in line]
    assert "Terminated" not in done.stderr
    assert len(ended) >= 2


def test_exit_code_is_rank_0s(cluster, folder):
    """The exit code is that of rank 0."""
    (folder / "fails.py").write_text("from papympi import node\n\n@node(pool='mpi')\ndef f(x):\n    return 1 / x\n")
    srun = ("srun", "--mpi=pmi2", "--kill-on-bad-exit=1", "-N2", "--ntasks-per-node=4")
    done = cluster.call(*srun, "papympi", "run", "fails.py", "--input", "x=0..9", cwd=folder)
    assert done.returncode == 1, done.stderr
    assert "Terminated" not in done.stderr


def test_killed_rank_ends_job(cluster, folder):
    """A killed rank ends the job with rank and host."""
    environment = {**cluster.environment, "FATAL": "30"}
    number = cluster.take(cluster.call(*SUBMIT, cwd=folder, env=environment))
    assert cluster.wait(number) == "FAILED"
    log = read_log(folder, number)
    assert any("error: n" in line and "task " in line and "Killed" in line for line in log.splitlines()), log


def test_scancel_leaves_nothing(cluster, folder):
    environment = {**cluster.environment, "SLEEP": "4712"}
    number = cluster.take(cluster.call(*SUBMIT, cwd=folder, env=environment))

    def ranks():
        return [each for each in psutil.process_iter(["cmdline"]) if "where.py" in (each.info["cmdline"] or [])]

    cluster.wait_for(lambda: len(ranks()) >= 8)
    cluster.call("scancel", number, check=True)
    assert cluster.wait(number) == "CANCELLED"
    cluster.wait_for(lambda: not ranks())


@pytest.mark.parametrize("name", ["USR1", "USR2"])
def test_srun_signal_stops_run(cluster, folder, name):
    """A signal that srun passes on stops the run and harms no item."""
    (folder / "slow.py").write_text(SLOW)
    srun = ("srun", "--mpi=pmi2", "--kill-on-bad-exit=1", "-N2", "--ntasks-per-node=2")
    environment = {**cluster.environment} | ({"PAPYMPI_DRAIN_ON": name} if name != "USR1" else {})
    with (folder / "out").open("w") as out:
        command = [*srun, "papympi", "run", "slow.py", "--input", "x=0..1000", "--output", "out.jsonl"]
        process = psutil.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out)
    cluster.wait_for(lambda: "at 3" in (folder / "out").read_text() or process.poll() is not None)
    process.send_signal(signal.Signals[f"SIG{name}"])
    assert process.wait(60) in {75, 130}, (folder / "out").read_text()
    values = [json.loads(line)["value"] for line in (folder / "out.jsonl").read_text().splitlines()]
    assert 4 <= len(values) < 1000
    assert values == list(range(len(values)))
    assert not (folder / "out.jsonl.failures.jsonl").exists()


def test_directives_stay_as_meant(cluster, tmp_path):
    """Sbatch reads directives as they were meant."""
    hostile = """a 'b' "c" \\ \\" $(touch evil) `touch evil` # %% é ; & --partition=evil \\'"""
    job = Job(
        arguments=("x",), command=("true",), launcher="none", job_name=hostile, directives=(f"--comment={hostile}",)
    )
    number = cluster.submit(job, tmp_path)
    assert cluster.wait(number) == "COMPLETED"
    assert cluster.look(number, "%j") == hostile
    assert cluster.look(number, "%k") == hostile
    assert not (tmp_path / "evil").exists()


def test_one_job_a_run_directory(cluster, folder):
    """A run directory has one job at a time."""
    command = (*SUBMIT, "--run-dir", "a b", "--directive=--begin=now+1hour")
    number = cluster.take(cluster.call(*command, cwd=folder))
    assert (folder / "a b" / "submit.job").read_text() == f"{number}\n"
    done = cluster.call(*command, cwd=folder)
    assert done.returncode == 2
    assert f"job {number} is PENDING with this run directory, a b: scancel {number} ends it" in done.stderr
    cluster.call("scancel", number, check=True)
    cluster.wait(number)
    cluster.take(cluster.call(*command, cwd=folder))


def test_sbatch_refusal_is_said(cluster, folder):
    """What sbatch refuses is said."""
    done = cluster.call(*SUBMIT, "--partition", "nowhere", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("papympi: error: sbatch refused the job: ")
    assert "invalid partition" in done.stderr


def test_ranks_default_to_cores(cluster, folder):
    """Without a number of ranks there are as many as cores."""
    done = cluster.call("papympi", "submit", "where.py", "--input", "number=0..60", "--dry-run", cwd=folder)
    assert "16 ranks on each host, as the smallest has 16 cores" in done.stderr
    assert "#SBATCH --ntasks-per-node=16\n" in done.stdout


def test_doctor_tells_of_cluster(cluster, folder):
    done = cluster.call("papympi", "doctor", cwd=folder)
    assert "pmi2" in next(line for line in done.stdout.splitlines() if line.split()[:1] == ["srun"])
