"""Command lines and environments for mpiexec, whichever MPI it is from. Nothing is started here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from papympi.errors import OptionError

Vendor = Literal["MPICH", "Open MPI", "Intel MPI", "unknown"]

DRAIN_ON: Final = "PAPYMPI_DRAIN_ON"
"""Environment variable: the signal that tells rank 0 to finish the running batches; USR1 if there is none."""
_SIGNS: Final[tuple[tuple[str, Vendor], ...]] = (
    ("Intel(R) MPI", "Intel MPI"),
    ("Open MPI", "Open MPI"),
    ("OpenRTE", "Open MPI"),
    ("PRRTE", "Open MPI"),
    ("HYDRA", "MPICH"),
    ("MPICH", "MPICH"),
)
_RANK_VARIABLES: Final = ("PMI", "PMIX", "OMPI_", "PRTE", "HYD", "MPI_LOCAL", "MPIR", "MPICH_", "PALS_")
_SETTINGS: Final = ("OMPI_MCA_", "PRTE_MCA_", "PMIX_MCA_", "HYDRA_", "MPICH_")
_MANAGERS: Final = ("SLURM_", "SLURMD_", "PBS_", "LSB_", "COBALT_", "PE_HOSTFILE")
_LOOPBACK: Final = {
    "FI_TCP_IFACE": "lo",
    "UCX_NET_DEVICES": "lo",
    "OMPI_MCA_btl_tcp_if_include": "lo",
    "I_MPI_HYDRA_IFACE": "lo",
}
_SPECIAL_STEPS: Final = 0xFFFFFFF0
"""Slurm's numbers from here on are batch scripts and interactive shells, not steps that `srun` has started."""


@dataclass(frozen=True, slots=True)
class Launcher:
    """An mpiexec.

    Attributes:
        path: where it is.
        vendor: which MPI it is from.
        version: as it says itself, or "".
    """

    path: str
    vendor: Vendor
    version: str = ""


def read_version(path: str, text: str) -> Launcher:
    """Return the launcher at `path` whose `--version` printed `text`."""
    vendor: Vendor = next((vendor for sign, vendor in _SIGNS if sign in text), "unknown")
    found = re.search(r"(?:Version:?\s+|\)\s+)(\d[\w.]*)", text)
    return Launcher(path, vendor, found.group(1) if found else "")


def name_vendor(library: str) -> Vendor:
    """Return the vendor that a library calls itself by (`MPI.get_vendor()`)."""
    names: dict[str, Vendor] = {"Open MPI": "Open MPI", "Intel MPI": "Intel MPI"}
    return "MPICH" if library.startswith(("MPICH", "MVAPICH", "Cray")) else names.get(library, "unknown")


def command(
    launcher: Launcher, ranks: int, program: Sequence[str], *, local: bool = False, root: bool = False
) -> list[str]:
    """Return the command that starts `program` on so many ranks.

    Args:
        launcher: whose command it is.
        ranks: how many, rank 0 included.
        program: what each rank runs.
        local: all ranks run on this host, however few CPUs it has; nothing listens to other hosts.
        root: the user is root.
    """
    argv = [launcher.path]
    if launcher.vendor == "Open MPI":
        if root:
            argv.append("--allow-run-as-root")
        if local:
            argv += ["--oversubscribe", "--bind-to", "none"]
    elif launcher.vendor == "MPICH" and local:
        argv += ["-launcher", "fork", "-iface", "lo"]
    elif launcher.vendor == "Intel MPI" and local:
        argv += ["-bootstrap", "fork", "-iface", "lo"]
    return [*argv, "-n", str(ranks), *program]


def environment(given: Mapping[str, str], *, local: bool = False) -> dict[str, str]:
    """Return the environment for a launcher: `given` without what makes its process a rank of another job.

    Args:
        given: the environment of the process that starts it.
        local: as in `command`; the job of a resource manager is left alone then.
    """
    gone = (*_RANK_VARIABLES, *_MANAGERS) if local else _RANK_VARIABLES
    kept = {name: value for name, value in given.items() if not name.startswith(gone) or name.startswith(_SETTINGS)}
    return {**_LOOPBACK, **kept} if local else kept


def has_job(environ: Mapping[str, str]) -> bool:
    """Return whether a resource manager has given this process hosts."""
    return any(name in environ for name in ("SLURM_JOB_ID", "PBS_NODEFILE", "LSB_HOSTS", "PE_HOSTFILE", "COBALT_JOBID"))


def promised_ranks(environ: Mapping[str, str]) -> int:
    """Return how many ranks the launcher of this process has promised; 0 if there was none."""
    count = _read_number(environ, "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PALS_SIZE")
    step = environ.get("SLURM_STEP_ID", "")
    if count is None and step.isdecimal() and int(step) < _SPECIAL_STEPS and "SLURM_PROCID" in environ:
        count = _read_number(environ, "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")
    return count or 0


def promised_rank(environ: Mapping[str, str]) -> int:
    """Return which of them this process is; 0 if it was not told."""
    return _read_number(environ, "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PALS_RANKID", "PMIX_RANK", "SLURM_PROCID") or 0


def _read_number(environ: Mapping[str, str], *names: str) -> int | None:
    """Return the first of some variables that is a number."""
    return next((int(environ[name]) for name in names if environ.get(name, "").isdecimal()), None)


def parse_ranks(name: str, text: Any) -> list[int]:
    """Return the ranks that `text` lists, e.g. "1-24" or "1-3,7"; rank 0 cannot be one of them."""
    ranks: list[int] = []
    for part in str(text).split(","):
        found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if found is None:
            raise OptionError(f'pool {name!r}: ranks={text!r} is not of the form "1-24" or "1-3,7"')
        first, last = int(found[1]), int(found[2] or found[1])
        if not 1 <= first <= last:
            raise OptionError(f"pool {name!r}: ranks={text!r}: ranges go upwards from 1; rank 0 is the runner")
        ranks += range(first, last + 1)
    return sorted(set(ranks))
