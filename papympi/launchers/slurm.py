"""The text of a batch script, from one record: a pure function. `slurm/*.sbatch` are what it writes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from papympi.launchers.mpiexec import Vendor
from papympi.launchers.slurm_fields import FIELDS
from papympi.launchers.slurm_job import Job, check_job
from papympi.launchers.slurm_shell import write_run, write_setup

MARK: Final = "# Written by `papympi submit`, which writes it anew as long as this line is here."


def batch_text(job: Job) -> str:
    """Return a batch script for sbatch."""
    check_job(job)
    shell = "/bin/bash -l" if job.modules or job.conda else "/bin/bash"  # a login shell knows `module` and `conda`
    parts = [f"#!{shell}\n{MARK}\n{write_directives(job)}", write_setup(job), write_run(job)]
    return "\n".join(part for part in parts if part)


def write_directives(job: Job) -> str:
    """Return the lines that tell sbatch what the job needs; what was not asked for is left to the cluster."""
    values = {field.directive: getattr(job, name) for name, field in FIELDS.items() if field.directive}
    values["output"] = job.log_pattern
    if job.array:
        share, _, most = job.array.partition("%")
        values["array"] = f"0-{int(share) - 1}{f'%{most}' if most else ''}"
    words = [f"--{name}={quote_directive(str(value))}" for name, value in values.items() if value is not None]
    if job.run_dir:  # whoever begins the job anew, what it has said before is still of use
        words.append("--open-mode=append")
    if job.until_done:
        words += ["--requeue", f"--signal=B:{job.signal}@{job.lead_s}"]
    for text in job.directives:
        name, equals, value = text.partition("=")
        words.append(f"{name}{equals}{quote_directive(value) if equals else ''}")
    return "".join(f"#SBATCH {word}\n" for word in words)


def quote_directive(text: str) -> str:
    """Return a value as sbatch reads it back from a directive.

    It knows both quotes as a shell does, but takes a backslash for an escape in either.
    """
    if re.fullmatch(r"[\w@%+=:,./&|()\[\]*!^~-]+", text, re.ASCII):
        return text
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    return f'"{escaped}"'


def choose_launcher(vendor: Vendor, types: Iterable[str] | None) -> tuple[str, str | None]:
    """Return the launcher that fits an MPI, and the `--mpi=` of srun.

    Args:
        vendor: of the MPI library.
        types: what `srun --mpi=list` lists; `None`: there is no srun here to ask.
    """
    known = {"pmi2"} if types is None else set(types)
    wanted = {"MPICH": "pmi2", "Open MPI": "pmix"}.get(vendor)
    if vendor == "unknown":
        return "srun", None
    return ("srun", wanted) if wanted in known else ("mpiexec", None)
