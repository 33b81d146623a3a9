"""`papympi doctor`: alone, under mpiexec, and where MPI is missing or does not fit."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("nothing_left")

DOCTOR = ("-m", "papympi", "doctor")
VENDORS = {"mpich": "MPICH", "openmpi": "Open MPI"}


def rows(text):
    """The lines under each title."""
    found, section = {}, []
    for line in text.splitlines():
        if line.startswith(" "):
            section.append(line.strip())
        else:
            section = found[line] = []
    return found


def test_alone_it_tries_two_ranks(mpi):
    """Alone, it tries whether launcher and library fit."""
    done = mpi.run(0, "python", *DOCTOR)
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    library, *between, launcher, together = found["MPI"][1:]
    assert VENDORS[mpi.name] in library
    assert between == (["between hosts  UCX"] if mpi.name == "mpich" else [])
    assert f"{VENDORS[mpi.name]} " in launcher
    assert str(mpi.bin / "mpiexec") in launcher
    assert "yes: two ranks met" in together
    assert {row.split()[0] for row in found["Pools"]} >= {"inline", "threads", "processes", "mpi", "mpi4py"}
    assert [row for row in found["Plugins"] if row.startswith("mpi ")]
    assert "Nothing is missing." in found


def test_rank_0_tells_of_all_ranks(mpi):
    """Under mpiexec rank 0 tells of all ranks."""
    done = mpi.run(4, "python", *DOCTOR)
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert done.stdout.count("This host") == 1
    assert [row.split(None, 1)[1] for row in found["Ranks"]] == ["4: 0-3"]
    assert "yes: 4 ranks" in found["MPI"][-1]


@pytest.mark.parametrize(
    ("choice", "said"), [({}, "libfabric's provider tcp"), ({"FI_PROVIDER": "sockets"}, "no: an unreliable provider")]
)
def test_way_between_hosts_is_told(mpich, choice, said):
    """Of the ways that MPICH may take between hosts, one changes the order of messages."""
    done = mpich.run(0, "python", *DOCTOR, env={**os.environ, "MPIR_CVAR_CH4_NETMOD": "ofi", **choice})
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert f"between hosts  {said}" in found["MPI"]
    wrong = found.get("Missing or wrong", [])
    assert [line.startswith("FI_PROVIDER=sockets lets MPICH") for line in wrong[:1]] == [True] * len(choice)
    assert any("set FI_PROVIDER=tcp" in line for line in wrong) == bool(choice)


@pytest.fixture
def bare(tmp_path):
    """Runs this Python where neither library nor launcher can be found."""

    def run(**environment):
        kept = {name: value for name, value in os.environ.items() if name not in {"PATH", "VIRTUAL_ENV"}}
        code = (
            f"import sys; sys.prefix = {str(tmp_path)!r}; from papympi.cli.main import main; sys.exit(main(['doctor']))"
        )
        kept |= {"PATH": str(tmp_path), "MPI4PY_LIBMPI": "/nowhere/libmpi.so", **environment}
        return subprocess.run([sys.executable, "-c", code], env=kept, capture_output=True, text=True, check=False)

    return run


def test_missing_mpi_is_explained(bare):
    """Without MPI it says how to get it."""
    done = bare()
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert "library   none" in found["MPI"]
    assert "launcher  none" in found["MPI"]
    assert len(re.findall(r"pip install 'papympi\[mpi\]'", done.stdout)) >= 2


def test_wrong_launcher_is_found_out(mpich, openmpi, tmp_path):
    """A launcher that does not fit is found out."""
    environment = {**os.environ, "PATH": f"{mpich.bin}{os.pathsep}{os.environ['PATH']}"}
    code = f"import sys; sys.prefix = {str(tmp_path)!r}; from papympi.cli.main import main; sys.exit(main(['doctor']))"
    done = openmpi.run(0, "python", "-c", code, env=environment)
    assert done.returncode == 0, done.stderr
    assert "together  no" in rows(done.stdout)["MPI"]
    assert "the launcher of MPICH starts ranks that Open MPI does not take for its own" in done.stdout


ALONE = """\
#!/bin/sh
[ "$1" = --version ] && echo "HYDRA build details: Version: 4.2" && exit
count=$2; shift 2
while [ $count -gt 0 ]; do "$@"; count=$((count - 1)); done
"""
"""An mpiexec that is not of the library: whatever it starts is told of no other ranks."""


def start_in_job(*words, **environment):
    """Return what a job is told that asks what starts its ranks, where there is no srun."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    given = {**known, "PATH": "/usr/bin:/bin", "SLURM_NTASKS": "3", **environment}
    return subprocess.run(
        [sys.executable, *DOCTOR, "--launcher"], env=given, capture_output=True, text=True, timeout=50, check=False
    )


def test_a_job_is_told_what_starts_its_ranks():
    """What was seen where the job was submitted may be another MPI than the one that its modules bring."""
    done = start_in_job()
    assert done.returncode == 0, done.stderr
    path, *rest = done.stdout.splitlines()
    assert (Path(path).name, rest) == ("mpiexec", ["-n", "3"])


def test_ranks_that_are_alone_are_refused(tmp_path):
    """Each would have done all the work: it is said once, before any of them begins."""
    real = next(Path(sys.prefix, "lib").glob("libmpi.so.*"), None)
    if real is None:
        pytest.skip("the MPI of this environment is not in it")
    (tmp_path / "lib").symlink_to(real.parent)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "mpiexec").write_text(ALONE)
    (tmp_path / "bin" / "mpiexec").chmod(0o755)
    done = start_in_job(MPI4PY_LIBMPI=str(tmp_path / "lib" / real.name))
    assert (done.returncode, done.stdout) == (2, "")
    said = f"which is the MPI in this job, each see only themselves under {tmp_path}/bin/mpiexec -n 3; say --launcher"
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
