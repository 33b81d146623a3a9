"""What there is to run on, and what is missing: the findings that `papympi doctor` prints."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from papympi.errors import LaunchError, PluginError
from papympi.launchers import mpiexec
from papympi.launchers.search import find_launcher
from papympi.launchers.slurm_state import ANSWER_S
from papympi.runner.plugins import collect_offers, list_plugins, plugin_manager
from papympi.stores.fingerprint import find_version
from papympi.workers.cpus import join_ranges, survey_cpus
from papympi.workers.ranks.allocation import joined
from papympi.workers.ranks.providers import check_choice

_DESCRIBE: Final = "import json; from papympi.workers.ranks.world import describe; print(json.dumps(describe()))"
SAY_RANKS: Final = (
    "import sys; from papympi.workers.ranks.world import count_ranks; sys.stdout.write(f'<{count_ranks()}>')"
)
"""A program that says how many ranks it sees: at once, because what ranks print may be mixed."""
_BEGIN: Final = "from papympi.workers.ranks.world import initialize; initialize()"
_GET_MPI: Final = "pip install 'papympi[mpi]', or load the site's MPI module (module load mpi)"


@dataclass(slots=True)
class Survey:
    """What was found.

    Attributes:
        sections: by title, rows of a name and what there is to say of it.
        findings: what is missing or wrong, each with what to do about it.
    """

    sections: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    findings: list[tuple[str, str]] = field(default_factory=list)


def survey(blocked: Iterable[str] = ()) -> Survey:
    """Return what there is on this host, and under a launcher on all hosts of the job."""
    found = Survey()
    found.sections["This host"] = _survey_host()
    found.sections["MPI"] = _survey_mpi(found)
    allocator = joined()
    if allocator is not None:
        found.sections["Ranks"] = list_ranks(allocator.world.hosts)
    found.sections["Slurm"] = _survey_slurm()
    _survey_plugins(found, blocked)
    return found


def list_ranks(hosts: Sequence[tuple[str, int]]) -> list[tuple[str, str]]:
    """Return a row for each host with the ranks that are on it."""
    by_host: dict[str, list[int]] = {}
    for rank, (host, _) in enumerate(hosts):
        by_host.setdefault(host, []).append(rank)
    return [(host, f"{len(ranks)}: {join_ranges(ranks)}") for host, ranks in by_host.items()]


def _survey_host() -> list[tuple[str, str]]:
    import psutil

    memory = psutil.virtual_memory()
    cpus = survey_cpus()
    return [
        ("name", socket.gethostname()),
        ("system", platform.platform()),
        ("Python", f"{platform.python_version()} ({sys.executable})"),
        ("papympi", find_version("papympi") or "not installed"),
        ("CPUs", f"{cpus.usable} usable of {cpus.there}{cpus.reason and f': {cpus.reason}'}"),
        ("memory", f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f} GiB"),
    ]


def _survey_mpi(found: Survey) -> list[tuple[str, str]]:
    """Return the rows on library and launcher; that they belong together is tried, unless this runs under one."""
    rows = [("mpi4py", find_version("mpi4py") or "not installed")]
    library, trouble = ask_library()
    if library is None:
        rows.append(("library", "none"))
        found.findings.append((f"no MPI library can be loaded ({trouble})", _GET_MPI))
    else:
        rows.append(("library", library["library"]))
        if library["vendor"] == "MPICH":
            rows.append(("between hosts", _find_transport(found)))
    try:
        launcher = find_launcher()
    except LaunchError as error:
        found.findings.append((str(error), _GET_MPI))
        return [*rows, ("launcher", "none")]
    rows.append(("launcher", f"{launcher.vendor} {launcher.version} ({launcher.path})"))
    if library is not None:
        rows.append(("together", _try_out(found, launcher, library["vendor"])))
    return rows


def ask_library() -> tuple[dict[str, str] | None, str]:
    """Return what the MPI library says of itself, or why there is none; it is loaded by another process."""
    done = run_briefly([sys.executable, "-c", _DESCRIBE], mpiexec.environment(os.environ, local=True))
    if done.returncode == 0:
        described: dict[str, str] = json.loads(done.stdout)
        return described, ""
    lines = done.stderr.strip().splitlines()
    return None, lines[-1] if lines else f"exit code {done.returncode}"


def _find_transport(found: Survey) -> str:
    """Return what MPICH sends through where ranks are on several hosts."""
    try:
        check_choice(os.environ)
    except LaunchError as error:
        trouble, _, remedy = str(error).partition("; ")
        found.findings.append((trouble, remedy))
        return "no: an unreliable provider"
    settings = {name: value for name, value in os.environ.items() if name.startswith("MPIR_CVAR_")}
    environment = {**mpiexec.environment(os.environ, local=True), **settings, "MPIR_CVAR_DEBUG_SUMMARY": "1"}
    said = run_briefly([sys.executable, "-c", _BEGIN], environment).stdout
    provider = re.search(r"^libfabric provider: (\S+)", said, re.MULTILINE)
    if provider:
        return f"libfabric's provider {provider[1]}"
    return "UCX" if "UCX netmod" in said else "not said by this MPICH"


def _try_out(found: Survey, launcher: mpiexec.Launcher, library: str) -> str:
    """Return whether launcher and library belong together."""
    allocator = joined()
    if allocator is not None:
        return f"yes: {allocator.world.size} ranks, as many as the launcher promised"
    argv = mpiexec.command(launcher, 2, [sys.executable, "-c", SAY_RANKS], local=True, root=os.geteuid() == 0)
    begun = time.perf_counter()
    done = run_briefly(argv, mpiexec.environment(os.environ, local=True))
    if done.returncode == 0 and done.stdout.count("<2>") == 2:
        return f"yes: two ranks met after {time.perf_counter() - begun:.1f} s"
    if "<1>" in done.stdout:
        trouble = f"the launcher of {launcher.vendor} starts ranks that {library} does not take for its own"
    else:
        trouble = f"{launcher.path} cannot start two ranks (exit code {done.returncode}): {done.stderr.strip()[-500:]}"
    remedy = f"put the mpiexec of {library} first on PATH, or name the library of {launcher.vendor} in MPI4PY_LIBMPI"
    found.findings.append((trouble, f"{remedy}; or {_GET_MPI}"))
    return "no"


def run_briefly(argv: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return what it printed."""
    options: dict[str, Any] = {"env": environment, "stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    try:
        return subprocess.run(argv, timeout=ANSWER_S, check=False, start_new_session=True, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(argv, 1, "", str(error))


def ask_slurm() -> list[str] | None:
    """Return the `--mpi=` types that srun has; `None`: there is no srun."""
    srun = shutil.which("srun")
    if srun is None:
        return None
    done = run_briefly([srun, "--mpi=list"], dict(os.environ))
    return re.findall(r"^\s+([\w.]+)$", done.stdout + done.stderr, re.MULTILINE)


def _survey_slurm() -> list[tuple[str, str]]:
    sbatch = shutil.which("sbatch")
    rows = [("sbatch", sbatch or "none: this host cannot submit jobs")]
    if sbatch:
        rows.append(("version", run_briefly([sbatch, "--version"], dict(os.environ)).stdout.strip()))
    types = ask_slurm()
    if types is not None:
        rows.append(("srun", f"--mpi= is one of {', '.join(types)}" if types else "says nothing of --mpi="))
    job = os.environ.get("SLURM_JOB_ID")
    if job:
        nodes, names = os.environ.get("SLURM_JOB_NUM_NODES", "?"), os.environ.get("SLURM_JOB_NODELIST", "?")
        rows.append(("job", f"{job} on {nodes} hosts ({names})"))
    return [*rows, ("tests", _how_to_test())]


def _how_to_test() -> str:
    """Return what the tests on a real cluster need here."""
    missing = [what for what, there in (("root", os.geteuid() == 0), ("apt", shutil.which("apt-get"))) if not there]
    if not missing:
        return "`make test` starts a cluster of its own on this host"
    return f"those on a real cluster are skipped here: they need {' and '.join(missing)}, as in a Debian container"


def _survey_plugins(found: Survey, blocked: Iterable[str]) -> None:
    """Add the plugins, and the pools that they offer."""
    try:
        manager = plugin_manager(blocked)
        offers = collect_offers(manager, "papympi_backends")
    except PluginError as error:
        found.findings.append((str(error), "leave it out until it is mended"))
        return
    found.sections["Plugins"] = [
        (record.name, "left out" if record.blocked else f"{record.where}, from {record.distribution or 'this program'}")
        for record in list_plugins(manager)
    ]
    found.sections["Pools"] = [(name, backend.summary) for name, backend in offers.items()]
