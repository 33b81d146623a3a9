"""Command lines, environments and what launchers say of themselves: text in, text out."""

import pytest

from papympi.errors import LaunchError, OptionError
from papympi.launchers.mpiexec import (
    Launcher,
    command,
    environment,
    has_job,
    parse_ranks,
    promised_rank,
    promised_ranks,
    read_version,
)
from papympi.launchers.search import find_launcher

HYDRA = "HYDRA build details:\n    Version:                                 5.0.2\n    Release Date: Fri Sep 25\n"
INTEL = "Intel(R) MPI Library for Linux* OS, Version 2021.16 Build 20250513\nCopyright 2003-2025, Intel Corporation.\n"


@pytest.mark.parametrize(
    ("text", "vendor", "version"),
    [
        (HYDRA, "MPICH", "5.0.2"),
        ("mpiexec (Open MPI) 5.0.11\n\nReport bugs to ...", "Open MPI", "5.0.11"),
        ("mpiexec (OpenRTE) 4.1.4\n", "Open MPI", "4.1.4"),
        (INTEL, "Intel MPI", "2021.16"),
        ("something else", "unknown", ""),
    ],
)
def test_launcher_is_recognised(text, vendor, version):
    """A launcher is known by what it says."""
    assert read_version("/bin/mpiexec", text) == Launcher("/bin/mpiexec", vendor, version)


def test_openmpi_as_root_in_a_crowd():
    """Open MPI is told about root and crowds."""
    launcher = Launcher("mpiexec", "Open MPI")
    argv = command(launcher, 9, ["python", "x.py"], local=True, root=True)
    assert argv[1:] == ["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", "9", "python", "x.py"]
    assert command(launcher, 9, ["python"]) == ["mpiexec", "-n", "9", "python"]


def test_mpich_stays_on_this_host():
    argv = command(Launcher("mpiexec", "MPICH"), 2, ["python"], local=True, root=True)
    assert argv == ["mpiexec", "-launcher", "fork", "-iface", "lo", "-n", "2", "python"]


def test_unknown_gets_common_words():
    """An unknown launcher gets what all understand."""
    assert command(Launcher("x", "unknown"), 2, ["python"], local=True, root=True) == ["x", "-n", "2", "python"]


def test_job_around_it_is_hidden():
    """A launcher does not see the job that it is started in."""
    given = {"PMI_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4", "PMIX_RANK": "3", "SLURM_JOB_ID": "7", "HOME": "/h"}
    assert environment(given) == {"SLURM_JOB_ID": "7", "HOME": "/h"}
    local = environment({**given, "OMPI_MCA_btl": "self,sm", "FI_TCP_IFACE": "eth0"}, local=True)
    assert local.keys() & given.keys() == {"HOME"}
    assert local["OMPI_MCA_btl"] == "self,sm"
    assert (local["FI_TCP_IFACE"], local["UCX_NET_DEVICES"]) == ("eth0", "lo")


@pytest.mark.parametrize(
    ("environ", "ranks", "rank"),
    [
        ({}, 0, 0),
        ({"PMI_SIZE": "4", "PMI_RANK": "2"}, 4, 2),
        ({"OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_RANK": "5", "PMIX_RANK": "5"}, 8, 5),
        ({"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "6", "SLURM_PROCID": "1", "SLURM_NTASKS": "9"}, 6, 1),
        ({"SLURM_NTASKS": "9", "SLURM_PROCID": "0", "SLURM_JOB_ID": "1"}, 0, 0),  # a batch script
        ({"SLURM_STEP_ID": "4294967290", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, 0, 0),  # a shell
        ({"PMI_SIZE": "4", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, 4, 1),
    ],
)
def test_launcher_promises_ranks(environ, ranks, rank):
    """What a launcher promises."""
    assert (promised_ranks(environ), promised_rank(environ)) == (ranks, rank)


def test_resource_manager_has_hosts():
    """A resource manager gives hosts."""
    assert has_job({"SLURM_JOB_ID": "1"})
    assert not has_job({"HOME": "/"})


def test_ranks_are_listed():
    assert parse_ranks("p", "1-3, 7,2") == [1, 2, 3, 7]
    assert parse_ranks("p", 4) == [4]


@pytest.mark.parametrize("text", ["", "a", "3-1", "0-2", "-1", "1..3", "1-"])
def test_ranks_that_cannot_be(text):
    with pytest.raises(OptionError, match="pool 'p': ranks="):
        parse_ranks("p", text)


def test_launcher_beside_python(mpich):
    """The launcher beside the interpreter is found."""
    assert find_launcher() == Launcher(str(mpich.bin / "mpiexec"), "MPICH", find_launcher().version)


def test_no_launcher_is_explained(monkeypatch, tmp_path):
    """No launcher says how to get one."""
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match=r"pip install 'papympi\[mpi\]'"):
        find_launcher()


def test_library_decides_on_launcher(monkeypatch, tmp_path):
    """A library that was chosen decides on the launcher."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "mpiexec"
    program.write_text("#!/bin/sh\necho 'mpiexec (OpenRTE) 4.1.4'\n")
    program.chmod(0o755)
    monkeypatch.setenv("MPI4PY_LIBMPI", str(tmp_path / "lib" / "libmpi.so"))
    assert find_launcher() == Launcher(str(program), "Open MPI", "4.1.4")
