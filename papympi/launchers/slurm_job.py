"""One Slurm job as a frozen record, and what of it cannot go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from papympi.errors import OptionError, did_you_mean
from papympi.launchers.slurm_fields import FIELDS, check_log, check_path, flag_of, seconds_of

_LEAD_S: Final = 120
_REQUEUES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a batch script is made from; the names are those of `slurm_fields.FIELDS`, and `None` means not asked for.

    Attributes:
        arguments: of `papympi run`: the pipeline first, then options as they were given.
        run_dir: the run directory.
        until_done: the job requeues itself until no work is left.
        tasks_per_node: ranks on each host.
        launcher: "auto" lets the cluster's own default `--mpi=` stand.
        asks_launcher: with "auto": the job itself finds out what fits the MPI that it has.
        mpiexec: the path or name of that launcher.
        lead: seconds between the signal and the time limit.
    """

    arguments: tuple[str, ...]
    run_dir: str | None = None
    until_done: bool = False
    job_name: str = "papympi"
    nodes: int = 1
    tasks_per_node: int = 1
    cpus_per_task: int | None = None
    mem: str | None = None
    time: str | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gpus: str | None = None
    array: str | None = None
    dependency: str | None = None
    mail_user: str | None = None
    mail_type: str | None = None
    log: str | None = None
    modules: tuple[str, ...] = ()
    venv: str | None = None
    conda: str | None = None
    directives: tuple[str, ...] = ()
    launcher: str = "auto"
    asks_launcher: bool = False
    mpi: str | None = None
    mpiexec: str = "mpiexec"
    launcher_options: tuple[str, ...] = ()
    command: tuple[str, ...] = ("papympi",)
    signal: str = "USR1"
    lead: int | None = None
    requeues: int = _REQUEUES

    @property
    def shares(self) -> int:
        """Return among how many array tasks the inputs are shared out; 0: it is no array."""
        return int(self.array.partition("%")[0]) if self.array else 0

    @property
    def lead_s(self) -> int:
        """Return the seconds between the signal and the time limit: a quarter of it if nothing else was said."""
        if self.lead is not None:
            return self.lead
        return min(_LEAD_S, max(seconds_of(self.time) // 4, 1)) if self.time else _LEAD_S

    @property
    def log_pattern(self) -> str | None:
        """Return the pattern of the log's name; `None`: Slurm's own, `slurm-%j.out`."""
        if self.log is not None or self.run_dir is None:
            return self.log
        return f"{self.run_dir.replace('%', '%%')}/slurm-{'%A_%a' if self.array else '%j'}.log"

    @property
    def ranks(self) -> int:
        """Return how many ranks there are in all."""
        return self.nodes * self.tasks_per_node


def make_job(arguments: tuple[str, ...], values: Mapping[str, Any], **run: Any) -> Job:
    """Return the job with these values, each checked.

    Args:
        arguments: of `papympi run`.
        values: by the names of `FIELDS`.
        **run: `run_dir` and `until_done`.
    """
    checked = {name: check_field(name, value, flag_of(name)) for name, value in values.items()}
    known = {field.name for field in fields(Job)}
    return Job(arguments=arguments, **run, **{name: value for name, value in checked.items() if name in known})


def check_field(name: str, value: Any, place: str) -> Any:
    """Return the value of an option as the batch text needs it; refuses one that cannot be, naming its `place`."""
    if name not in FIELDS:
        raise OptionError(f"{place}: there is no option {name!r} of a job{did_you_mean(name, FIELDS)}")
    try:
        return FIELDS[name].check(value)
    except OptionError as error:
        raise OptionError(f"{place}: {error}") from error


def check_job(job: Job) -> None:
    """Refuse everything in a job that cannot be, alone or together."""
    for name in FIELDS:
        value = getattr(job, name, None)
        if value not in (None, ()):
            check_field(name, value, flag_of(name))
    for check in (_check_paths, _check_launcher, _check_sharing, _check_arguments):
        check(job)
    if job.venv and job.conda:
        raise OptionError("--venv and --conda: a job has one environment")
    if job.until_done and job.time and job.lead_s >= seconds_of(job.time):
        raise OptionError(f"--lead {job.lead_s}: so many seconds before the limit of {job.time} nothing has begun yet")


def _check_paths(job: Job) -> None:
    if job.run_dir is None:
        if job.until_done or job.array:
            raise OptionError(f"{'--until-done' if job.until_done else '--array'} needs a run directory: --run-dir DIR")
        return
    try:
        check_path(job.run_dir)
        check_log(job.log_pattern)
    except OptionError as error:
        raise OptionError(f"--run-dir: {error}") from error


def _check_launcher(job: Job) -> None:
    if job.launcher == "none" and job.ranks > 1:
        raise OptionError(f"--launcher none starts one process, and {job.ranks} ranks are asked for")
    if job.mpi and job.launcher not in ("auto", "srun"):
        raise OptionError(f"--mpi {job.mpi} is an option of srun, and the launcher is {job.launcher}")


def _check_sharing(job: Job) -> None:
    names = {word.partition("=")[0] for word in job.arguments}
    if job.array and "--shard" in names:
        raise OptionError("--shard and --array: an array gives each of its tasks its own share")
    if job.array and "--output" in names:
        raise OptionError(
            "--output and --array: every array task would write to that file; the results are in the run directory, "
            "and `papympi merge` joins them"
        )
    if "--ranks" in names:
        raise OptionError("--ranks starts ranks on one host; in a job it is --nodes and --tasks-per-node")


def _check_arguments(job: Job) -> None:
    if not job.arguments or job.arguments[0].startswith("-"):
        raise OptionError(f"{(*job.arguments, '')[0]!r} is not a pipeline")
    for before, word in zip(job.arguments, job.arguments[1:], strict=False):
        if before == "--input" and word.endswith("=-"):
            raise OptionError(f"--input {word}: a job has no standard input; put the lines into a file, NAME=@FILE")
    if any("\0" in word for word in job.arguments):
        raise OptionError("an argument has a NUL character, which no command can carry")
