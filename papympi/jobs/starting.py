"""What starts the ranks of a job whose MPI is only there: its modules or its environment bring it. The job asks."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from papympi.errors import LaunchError
from papympi.jobs.survey import SAY_RANKS, ask_library, ask_slurm, run_briefly
from papympi.launchers import mpiexec
from papympi.launchers.search import find_launcher
from papympi.launchers.slurm import choose_launcher
from papympi.launchers.slurm_shell import SRUN

_WAY_OUT = "say --launcher and --mpi when you submit, or load the MPI that mpi4py was built for"


def find_start() -> list[str]:
    """Return the words that start a program on all ranks of this job.

    That two ranks see each other is tried: else each of all would take itself for the only one, and do all the work.

    Raises:
        LaunchError: no MPI is here, or nothing here starts its ranks.
    """
    library, trouble = ask_library()
    if library is None:
        raise LaunchError(f"no MPI can be loaded in this job ({trouble}); {_WAY_OUT}")
    name, mpi = choose_launcher(mpiexec.name_vendor(library["vendor"]), ask_slurm() or ())
    words = list_words(name, mpi, os.environ)
    two = [*words[:-1], "2"] if name == "mpiexec" else [*words, "--ntasks=2"]
    done = run_briefly([*two, sys.executable, "-c", SAY_RANKS], dict(os.environ))
    if done.stdout.count("<2>") == 2:
        return words
    seen = "each see only themselves" if "<1>" in done.stdout else f"do not start (exit code {done.returncode})"
    raise LaunchError(
        f"ranks of {library['library']}, which is the MPI in this job, {seen} under {' '.join(words)}; {_WAY_OUT}"
    )


def list_words(name: str, mpi: str | None, environ: Mapping[str, str]) -> list[str]:
    """Return the words of a launcher in a job; those of mpiexec end with how many ranks there are."""
    if name == "mpiexec":
        return [find_launcher().path, "-n", environ.get("SLURM_NTASKS", "1")]
    cpus = environ.get("SLURM_CPUS_PER_TASK")  # a step does not take this over from its job
    return [*SRUN, *([f"--mpi={mpi}"] if mpi else []), *([f"--cpus-per-task={cpus}"] if cpus else [])]
