"""What can be said about a Slurm job: each option with what it may be, its directive, and a line of help.

A check takes what the command line, the environment or a TOML file says, and returns it as the batch text needs it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from papympi.errors import OptionError

LONGEST: Final = 4000
"""Bytes of one value; sbatch copies what stands behind `#SBATCH` into 8192, and does not count."""
SIGNALS: Final = ("USR1", "USR2")
"""Those that srun and every mpiexec pass on to the ranks; TERM, HUP and QUIT make them end the job at once."""
LAUNCHERS: Final = ("auto", "srun", "mpiexec", "none")
_TIMES: Final = "minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes[:seconds]"
_TIME_FORMS: Final = (
    r"(?P<m>\d+)(?::(?P<s>\d+))?",
    r"(?P<h>\d+):(?P<m>\d+):(?P<s>\d+)",
    r"(?P<d>\d+)-(?P<h>\d+)(?::(?P<m>\d+)(?::(?P<s>\d+))?)?",
)
_SECONDS: Final = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def check_line(value: Any) -> str:
    """Return a text that fits on one line of a batch script: not empty, and not too long for sbatch."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise OptionError(f"{value!r} is not a text; put it into quotes")
    if not value:
        raise OptionError("it is empty")
    if found := re.search(r"[\x00-\x1f\x7f]", value):
        raise OptionError(f"{value!r}: no directive of a batch script can carry the character {found[0]!r}")
    if len(value.encode(errors="surrogateescape")) > LONGEST:
        raise OptionError(f"{value[:20]!r}... is longer than {LONGEST} bytes")
    return value


def check_time(value: Any) -> str:
    """Return a time limit in one of Slurm's forms."""
    text = check_line(value)
    if not seconds_of(text):
        raise OptionError(f"{text!r} is not a time of more than nothing; the forms are {_TIMES}")
    return text


def seconds_of(time: str) -> int:
    """Return how long a time limit is; 0 if it is none."""
    for form in _TIME_FORMS:
        if found := re.fullmatch(form, time, re.ASCII):
            return sum(_SECONDS[unit] * int(number) for unit, number in found.groupdict().items() if number)
    return 0


def check_signal(value: Any) -> str:
    """Return the name of a signal that launchers pass on."""
    name = check_line(value).upper().removeprefix("SIG")
    if name not in SIGNALS:
        raise OptionError(
            f"{value!r} is neither {' nor '.join(SIGNALS)}; launchers pass no other signal on to the ranks"
        )
    return name


def check_launcher(value: Any) -> str:
    """Return what starts the ranks."""
    if value not in LAUNCHERS:
        raise OptionError(f"{value!r} is none of {', '.join(LAUNCHERS)}")
    return str(value)


def check_name(value: Any) -> str:
    """Return a name that no program takes for an option."""
    text = check_line(value)
    if text.startswith("-"):
        raise OptionError(f"{text!r} begins with a dash")
    return text


def check_path(value: Any) -> str:
    """Return a path that no program takes for an option."""
    text = check_line(value)
    return f"./{text}" if text.startswith("-") else text


def check_log(value: Any) -> str:
    r"""Return a pattern for the name of the log, in which Slurm fills in %j and the like."""
    text = check_path(value)
    if "\\" in text:
        raise OptionError(f"{text!r}: with a backslash in it Slurm fills in no %j; name another file with --log")
    return text


def check_words(value: Any) -> tuple[str, ...]:
    """Return words of a command; a text is split as a shell would do it."""
    import shlex

    if isinstance(value, str):
        try:
            value = shlex.split(value)
        except ValueError as error:
            raise OptionError(f"{value!r} cannot be split into words: {error}") from error
    if not isinstance(value, list | tuple) or not value:
        raise OptionError(f"{value!r} is not a list of words")
    return tuple(check_line(word) for word in value)


def check_names(value: Any) -> tuple[str, ...]:
    """Return names; in a text they are separated by commas or blanks."""
    if isinstance(value, str):
        value = [name for name in re.split(r"[,\s]+", value) if name]
    if not isinstance(value, list | tuple):
        raise OptionError(f"{value!r} is not a list of names")
    return tuple(check_name(name) for name in value)


def check_directives(value: Any) -> tuple[str, ...]:
    """Return further options of sbatch, each `--name` or `--name=value`."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        raise OptionError(f"{value!r} is not a list of options of sbatch")
    return tuple(_check_directive(check_line(text)) for text in given)


def _check_directive(text: str) -> str:
    if not re.fullmatch(r"--[a-z][a-z0-9-]*(=.+)?", text, re.ASCII):
        raise OptionError(f"{text!r} is not of the form --name or --name=value")
    name = text.partition("=")[0]
    taken = {f"--{field.directive}": key for key, field in FIELDS.items() if field.directive}
    if name in taken:
        raise OptionError(f"{text!r}: there is an option for this, {flag_of(taken[name])}")
    if name in {"--signal", "--open-mode", "--wrap", "--parsable", "--ntasks", "--error"}:
        raise OptionError(f"{text!r}: papympi decides on {name} itself")
    return text


def check_count(value: Any, least: int = 1) -> int:
    """Return a number of at least 1, or another least one."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value, re.ASCII):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise OptionError(f"{value!r} is not a whole number of at least {least}")
    return value


def check_form(value: Any, *, form: str, words: str) -> str:
    """Return a text that matches a regular expression; `words` say of what form that is."""
    text = check_line(value)
    if not re.fullmatch(form, text, re.ASCII):
        raise OptionError(f"{text!r} is not {words}")
    return text


@dataclass(frozen=True, slots=True)
class Field:
    """One option of a job.

    Attributes:
        check: returns a value as the batch text needs it, or raises an `OptionError`.
        help: a line on what it is.
        metavar: what stands for its value.
        directive: the option of sbatch that it becomes, if it is one of these.
        many: it may be given several times.
    """

    check: Callable[[Any], Any]
    help: str
    metavar: str
    directive: str = ""
    many: bool = False


_MEMORY: Final = partial(
    check_form, form=r"\d+[KMGT]?", words="a number with K, M, G or T behind it; without one it is megabytes"
)
_GPUS: Final = partial(check_form, form=r"([\w.-]+:)?[1-9]\d*", words="a number, or TYPE:NUMBER")
_ARRAY: Final = partial(check_form, form=r"[1-9]\d*(%[1-9]\d*)?", words="N, or N%M for at most M at a time")

FIELDS: Final[dict[str, Field]] = {
    "job_name": Field(check_line, "Name of the job. Default: that of the file.", "NAME", "job-name"),
    "nodes": Field(check_count, "Hosts. Default: 1.", "N", "nodes"),
    "tasks_per_node": Field(
        check_count, "Ranks on each host. Default: as many as the smallest host has cores.", "N", "ntasks-per-node"
    ),
    "cpus_per_task": Field(check_count, "CPUs of each rank.", "N", "cpus-per-task"),
    "mem": Field(_MEMORY, "Memory on each host, such as 64G.", "SIZE", "mem"),
    "time": Field(check_time, "Time limit, such as 4:00:00 for four hours.", "TIME", "time"),
    "partition": Field(check_line, "Partition (queue).", "NAME", "partition"),
    "account": Field(check_line, "Account that pays.", "NAME", "account"),
    "qos": Field(check_line, "Quality of service.", "NAME", "qos"),
    "constraint": Field(check_line, "Features that hosts must have.", "FEATURES", "constraint"),
    "gpus": Field(_GPUS, "GPUs on each host, such as 4 or a100:4.", "[TYPE:]N", "gpus-per-node"),
    "array": Field(_ARRAY, "Share the inputs out among N jobs, at most M of them at a time.", "N[%M]", "array"),
    "dependency": Field(check_line, "Wait for other jobs, such as afterok:4711.", "JOBS", "dependency"),
    "mail_user": Field(check_line, "Who gets mail.", "ADDRESS", "mail-user"),
    "mail_type": Field(check_line, "When, such as END,FAIL.", "EVENTS", "mail-type"),
    "log": Field(check_log, "File for what the job prints; %j is its number.", "FILE", "output"),
    "modules": Field(check_names, "Load a module; may be repeated.", "NAME", many=True),
    "venv": Field(check_path, "Activate a virtual environment.", "FOLDER"),
    "conda": Field(check_name, "Activate a conda environment.", "NAME"),
    "directives": Field(check_directives, "Give sbatch another option; may be repeated.", "--NAME=VALUE", many=True),
    "launcher": Field(check_launcher, "What starts the ranks. Default: what fits the MPI.", "|".join(LAUNCHERS)),
    "mpi": Field(check_name, "The --mpi= of srun.", "TYPE"),
    "launcher_options": Field(check_words, "Give the launcher another word; may be repeated.", "WORD", many=True),
    "command": Field(check_words, "How papympi is called in the job.", "WORDS"),
    "signal": Field(check_signal, "With --until-done: what Slurm sends before the limit. Default: USR1.", "NAME"),
    "lead": Field(check_count, "With --until-done: how long before the limit. Default: 120 or less.", "SECONDS"),
    "requeues": Field(partial(check_count, least=0), "With --until-done: how often at most. Default: 20.", "N"),
    "template": Field(check_path, "Fill in a script of your own.", "FILE"),
}
"""The options of a job by their names in the file."""


def flag_of(name: str) -> str:
    """Return what an option is called on the command line; one that may be repeated has its name in the singular."""
    return f"--{(name[:-1] if FIELDS[name].many else name).replace('_', '-')}"
