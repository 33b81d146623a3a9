"""How a run becomes a job of Slurm: what was not said is found out, the script is written, sbatch is called."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from papympi.errors import LaunchError, OptionError
from papympi.jobs.survey import ask_library, ask_slurm
from papympi.launchers import mpiexec
from papympi.launchers.search import find_launcher
from papympi.launchers.slurm import MARK, batch_text, choose_launcher
from papympi.launchers.slurm_fields import check_path, seconds_of
from papympi.launchers.slurm_job import Job, make_job
from papympi.launchers.slurm_shell import NUMBER
from papympi.launchers.slurm_state import ALIVE
from papympi.launchers.slurm_template import fill_template
from papympi.runner.loading import find_pipeline
from papympi.runner.options import read_options
from papympi.workers.ranks.providers import check_choice

SCRIPT: Final = "submit.sbatch"
_SUBMIT_S: Final = 120.0
"""sbatch tries again for so long while Slurm is busy."""
_OF_A_JOB: Final = ("SLURM_", "SLURMD_", "PMI_", "PMIX_")
_OF_A_SITE: Final = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_TIME_FORMAT")


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that can be submitted.

    Attributes:
        job: what it is.
        text: of the batch script.
        script: where that is to be.
        notes: what was found out and not said by the user, a line each.
    """

    job: Job
    text: str
    script: Path
    notes: list[str] = field(default_factory=list)


def prepare(
    target: str, arguments: Sequence[str], given: Mapping[str, Any], *, run_dir: str | None, until_done: bool
) -> Submission:
    """Return the job of a run; nothing is written yet.

    Args:
        target: the pipeline.
        arguments: other words for `papympi run`, as they were given.
        given: options of the job from the command line, by the names of `slurm_fields.FIELDS`.
        run_dir: the run directory; `None`: one beside, if the job needs one.
        until_done: the job requeues itself until no work is left.

    Raises:
        PapympiError: no such pipeline, a slip in it, or an option that cannot be.
    """
    name = _check_pipeline(target)
    values = dict(read_options(find_pipeline(target), submit=dict(given)).submit)
    template = values.pop("template", None)
    values.setdefault("job_name", name)
    if not values.keys() & {"venv", "conda"}:  # else it is the one that they bring
        values.setdefault("command", [sys.executable, "-m", "papympi"])
    if run_dir is None and (until_done or "array" in values):
        run_dir = f"{name}.run"
    job = make_job((target, *arguments), values, run_dir=run_dir, until_done=until_done)
    _check_transport(job)
    notes: list[str] = []
    if "tasks_per_node" not in values:
        job = _fill_hosts(job, notes)
    if job.launcher == "auto" and job.mpi is None:
        job = _choose_launcher(job, notes, alone=template is None)
    if job.launcher == "mpiexec" and not (job.modules or job.venv or job.conda):  # else it is the one that they bring
        job = replace(job, mpiexec=find_launcher().path)
    script = Path(run_dir) / SCRIPT if run_dir else Path(f"{name}.sbatch")
    return Submission(job, _write_text(job, template), script, notes)


def submit(submission: Submission) -> str:
    """Write the script, submit it and return the number of the job.

    Raises:
        LaunchError: there is no Slurm here, or it refuses the job.
        OptionError: another file is in the place of the script.
    """
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        raise LaunchError(
            "there is no sbatch here: submit from a login node of a Slurm cluster, or look at the script with --dry-run"
        )
    run_dir = submission.job.run_dir
    if run_dir:
        _check_free(Path(run_dir))
    write_script(submission)
    done = _ask([sbatch, "--parsable", _as_path(submission.script)])
    if done.returncode:
        words = " ".join(done.stderr.replace("sbatch: error: ", "").split()) or f"exit code {done.returncode}"
        raise LaunchError(f"sbatch refused the job: {words} (the script is {submission.script})")
    number = done.stdout.strip().partition(";")[0]
    if run_dir:
        (Path(run_dir) / NUMBER).write_text(f"{number}\n", encoding="utf-8")
    return number


def _check_free(run_dir: Path) -> None:
    """Look whether the last job of a run directory has ended: two at a time would be in each other's way."""
    squeue, record = shutil.which("squeue"), run_dir / NUMBER
    number = record.read_text(encoding="utf-8").strip().partition(";")[0] if record.is_file() else ""
    if squeue is None or not number.isdecimal():
        return
    words = ["--noheader", f"--user={os.getuid()}", f"--jobs={number}", "--states=all", "--format=%T"]
    alive = set(_ask([squeue, *words]).stdout.split()) & ALIVE
    if alive:
        raise OptionError(f"job {number} is {min(alive)} with this run directory, {run_dir}: scancel {number} ends it")


def write_script(submission: Submission) -> None:
    """Write the script, and make the folders that Slurm does not make."""
    path, job = submission.script, submission.job
    if job.run_dir:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        raise OptionError(f"{path} was not written by papympi, and stays as it is: --run-dir DIR puts the script there")
    log = Path(job.log_pattern or "").parent
    if "%" not in str(log):  # else the folder is Slurm's to name
        log.mkdir(parents=True, exist_ok=True)
    path.write_bytes(submission.text.encode("utf-8", "surrogateescape"))


def describe(submission: Submission, number: str) -> list[str]:
    """Return how to follow a job that was submitted, a line each."""
    job, pattern = submission.job, submission.job.log_pattern or "slurm-%j.out"
    for sign, value in (("%%", "\0"), ("%j", number), ("%A", number), ("%x", job.job_name), ("\0", "%")):
        pattern = pattern.replace(sign, value)
    log = "*".join(shlex.quote(part) if part else "" for part in pattern.split("%a"))
    limit = seconds_of(job.time or "")
    lines = [f"hosts     {job.nodes}, ranks on each: {job.tasks_per_node}", f"script    {submission.script}"]
    if limit:
        lines.append(f"limit     {timedelta(seconds=limit)}{', again and again until done' * job.until_done}")
    look, end = f"squeue -j {number}", f"scancel {number}"
    if job.run_dir:
        look, end = (f"papympi {word} {shlex.quote(check_path(job.run_dir))}" for word in ("status", "cancel"))
    return [*lines, f"follow    tail -F {log}", f"look      {look}", f"end       {end}"]


def _check_pipeline(target: str) -> str:
    """Return the name of a pipeline, if it can be parsed: a slip is better found now than when the job begins."""
    path = find_pipeline(target)
    if path is None:
        return target.partition(":")[0].rpartition(".")[2]
    try:
        compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise OptionError(f"{path} is no Python file that can run: {error}") from error
    return path.stem


def _write_text(job: Job, template: str | None) -> str:
    if template is None:
        return batch_text(job)
    try:
        text = Path(template).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"--template {template}: {error}") from error
    return fill_template(text, job, template)


def _fill_hosts(job: Job, notes: list[str]) -> Job:
    """Return the job with as many ranks on each host as the smallest host of its partition has cores for."""
    cores = 0
    if sinfo := shutil.which("sinfo"):
        where = [f"--partition={job.partition}"] if job.partition else []
        words = _ask([sinfo, "--noheader", "--format=%X %Y", *where]).stdout.replace("+", "").splitlines()
        pairs = [tuple(map(int, line.split())) for line in words if all(map(str.isdecimal, line.split()))]
        cores = min((sockets * each for sockets, each in pairs), default=0)
    if not cores:
        notes.append("one rank on each host, as Slurm cannot be asked here how many cores they have: --tasks-per-node")
        return job
    ranks = max(cores // (job.cpus_per_task or 1), 1)
    notes.append(f"{ranks} ranks on each host, as the smallest has {cores} cores: --tasks-per-node says otherwise")
    return replace(job, tasks_per_node=ranks)


def _choose_launcher(job: Job, notes: list[str], *, alone: bool) -> Job:
    """Return the job with the launcher that fits its MPI: the one that is seen here, if nothing in the job replaces it.

    Modules and environments may, and so may a template of the user's own, unless the script is papympi's `alone`.
    """
    if job.ranks == 1:
        return replace(job, launcher="none")
    if job.modules or job.venv or job.conda or not alone:
        notes.append("the job finds out what starts the ranks of its MPI: --launcher and --mpi say otherwise")
        return replace(job, asks_launcher=True)
    library, trouble = ask_library()
    if library is None:
        notes.append(f"no MPI can be loaded here ({trouble}): --launcher and --mpi say what fits the job's")
        return job
    name, mpi = choose_launcher(mpiexec.name_vendor(library["vendor"]), ask_slurm())
    how = f"{name} --mpi={mpi}" if mpi else name
    notes.append(f"{how}, as it fits {library['library']}, which is seen here: --launcher and --mpi say otherwise")
    return replace(job, launcher=name, mpi=mpi)


def _check_transport(job: Job) -> None:
    """Refuse a job of several hosts that would inherit the choice of an unreliable way between them."""
    try:
        check_choice(os.environ)
    except LaunchError as error:
        library, _ = ask_library() if job.nodes > 1 else ({"vendor": ""}, "")
        if library is None or library["vendor"] == "MPICH":
            raise OptionError(f"the job would inherit it: {error}") from None


def _ask(argv: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command of Slurm, which does not see the job that it may be called in."""
    environment = dict(os.environ)
    if "SLURM_JOB_ID" in environment:
        ours = {name for name in environment if name.startswith(_OF_A_JOB)} - set(_OF_A_SITE)
        environment = {name: value for name, value in environment.items() if name not in ours}
    try:
        return subprocess.run(
            argv,
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SUBMIT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LaunchError(f"{argv[0]} does not answer: {error}") from error


def _as_path(path: Path) -> str:
    """Return a path that sbatch does not take for an option."""
    text = str(path)
    return f"./{text}" if text.startswith("-") else text
