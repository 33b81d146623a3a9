"""A batch script of the user's own, in which papympi fills in fields: `{{directives}}`, `{{run}}`, `{{time}}`."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Final

from papympi.errors import OptionError, did_you_mean
from papympi.launchers.slurm import write_directives
from papympi.launchers.slurm_job import Job, check_job
from papympi.launchers.slurm_shell import write_run, write_setup

_FIELD: Final = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_PLAIN: Final = re.compile(r"[\w@%+=:,./-]*", re.ASCII)
_BLOCKS: Final = {"directives": write_directives, "setup": write_setup, "run": write_run}


def fill_template(text: str, job: Job, place: str) -> str:
    """Return a template with its fields filled in.

    A block stands on a line of its own. Any other field is the value of the option of that name, and stands for nothing
    else than letters, digits and `@%+=:,./-`, so that it means the same in a directive, in a command and in quotes.

    Args:
        text: the template.
        job: what to fill in.
        place: the name of the template, for messages.
    """
    check_job(job)
    lines = text.split("\n")
    _check_blocks(lines, job, place)
    return "\n".join(_fill_line(line, job, f"{place}:{number}") for number, line in enumerate(lines, 1))


def _check_blocks(lines: list[str], job: Job, place: str) -> None:
    """Look whether everything that was asked for gets into the script, and in time."""
    alone = [found[1] if (found := _FIELD.fullmatch(line.strip())) else "" for line in lines]
    needed = [name for name in _BLOCKS if name != "setup" or write_setup(job)]
    missing = [name for name in needed if name not in alone]
    if missing:
        raise OptionError(f"{place}: a template needs a line with {{{{{missing[0]}}}}} and nothing else")
    for number, line in enumerate(lines[: alone.index("directives")], 1):
        if line.strip() and not line.lstrip().startswith("#"):
            raise OptionError(f"{place}:{number}: sbatch reads no directives behind a command: {line.strip()!r}")


def _fill_line(line: str, job: Job, place: str) -> str:
    """Return a line of a template filled in."""
    alone = _FIELD.fullmatch(line.strip())
    if alone and alone[1] in _BLOCKS:
        return _BLOCKS[alone[1]](job).rstrip("\n")
    return _FIELD.sub(lambda found: _value(found[1], job, place), line)


def _value(name: str, job: Job, place: str) -> str:
    """Return what a field stands for; nothing, if the option was not given."""
    known = {field.name for field in fields(Job)} - {"arguments", "until_done", "asks_launcher"}
    if name in _BLOCKS:
        raise OptionError(f"{place}: {{{{{name}}}}} needs a line of its own")
    if name not in known:
        raise OptionError(f"{place}: there is no field {name!r}{did_you_mean(name, [*known, *_BLOCKS])}")
    value = getattr(job, name)
    text = " ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
    if not _PLAIN.fullmatch(text.replace(" ", "") if isinstance(value, tuple) else text):
        raise OptionError(
            f"{place}: {name} is {text!r}, and a template takes no other characters in it than letters, digits and "
            "@%+=:,./-; the blocks {{directives}}, {{setup}} and {{run}} take every value"
        )
    return text
