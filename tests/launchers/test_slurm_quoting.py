"""Hostile strings in every option of a job: bash itself reads the script, and must see the words that were given.

The commands that a script calls are stand-ins that note how they were called. So this is about the shell and not about
Slurm; what sbatch itself reads from directives is tested on a cluster, in tests/slurm.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from papympi.errors import OptionError
from papympi.launchers.slurm import batch_text
from papympi.launchers.slurm_job import Job

STUB = """#!/bin/bash
printf '%s\\0' $(($# + 1)) "${0##*/}" "$@" >>"$RECORD"
case "${0##*/} $1" in
    'papympi status') wc -c <"$RECORD" ;; # more and more results
    'srun '*) exit 75 ;;
esac
"""
NASTY = [
    " ", "'", '"', "$(touch evil)", "`touch evil`", "\n", "\n#SBATCH --account=evil\n", ";touch evil;", "&", "|", "!",
    ">evil", "\\", "*", "~", "{a,b}", "\t", "-", "--", "=", "%", "%%", "\r", "\x01", "\x7f", "${HOME}", "$1", "é",
    "#", "EOF", "$'\\n'", "\\'", "{{run}}",
]  # fmt: skip
HOSTILE = st.lists(st.sampled_from(NASTY) | st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=3))
WORD = HOSTILE.map("".join)
LINES = ("job_name", "partition", "account", "qos", "constraint", "dependency", "mail_user", "mail_type", "log")
DIRECTIVES = {"job_name": "job-name", "mail_user": "mail-user", "mail_type": "mail-type", "log": "output"}
FOLDERS = ("run_dir", "venv")
NAMES = ("conda", "mpi")
LISTS = ("modules", "launcher_options", "directives")
SAFE = Job(arguments=("a.py",), run_dir="run", until_done=True, launcher="srun", log="log")


def hostile_job(words: list[str], arguments: list[str], *, until_done: bool) -> Job:
    """Return a job with these words in its options; each that is refused alone is left out."""
    job = replace(SAFE, arguments=("a.py", *arguments), until_done=until_done)
    for name, word in zip((*LINES, *FOLDERS, *NAMES, *LISTS), words, strict=True):
        value = {"directives": (f"--comment={word}",)}.get(name, (word,) if name in LISTS else word)
        try:
            batch_text(replace(SAFE, **{name: value}))
        except OptionError:
            continue
        job = replace(job, **{name: value})
    return replace(job, conda=None) if job.venv else job


def run_script(text: str, folder: Path, job: Job) -> list[list[str]]:
    """Let bash run a script, and return how the commands in it were called."""
    stubs, record, work = folder / "stubs", folder / "record", folder / "work"
    stubs.mkdir()
    for name in ("papympi", "srun", "scontrol", "sbatch", "module", "conda"):
        (stubs / name).write_text(STUB)
        (stubs / name).chmod(0o755)
    if job.venv:
        (work / job.venv / "bin").mkdir(parents=True)
        (work / job.venv / "bin" / "activate").touch()
    work.mkdir(exist_ok=True)
    script = folder / "script"
    script.write_bytes(text.encode("utf-8", "surrogateescape"))
    environment = {"PATH": f"{stubs}:/usr/bin:/bin", "RECORD": str(record), "SLURM_JOB_ID": "7", "LC_ALL": "C.UTF-8"}
    for command in (["bash", "-n", script], ["bash", script]):
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, timeout=20, check=False)
        assert done.returncode in {0, 75}, done.stderr
    top = Path(job.venv).parts[0] if job.venv else None
    assert {path.name for path in work.iterdir()} == ({top} if top else set())
    words = iter(os.fsdecode(record.read_bytes()).split("\0"))
    return [[next(words) for _ in range(int(count))] for count in words if count]


def read_directives(text: str) -> dict[str, str]:
    """Return what sbatch reads from a script: its rules for quotes are those of shlex."""
    lines = text.split("\n")
    ends = next(index for index, line in enumerate(lines) if not line.startswith("#"))
    words = [shlex.split(line.removeprefix("#SBATCH ")) for line in lines[:ends] if line.startswith("#SBATCH")]
    assert all(len(word) == 1 for word in words)
    return dict(word[0].removeprefix("--").partition("=")[::2] for word in words)


def expected_calls(job: Job) -> list[list[str]]:
    """Return how the commands are to be called."""
    run_dir = f"./{job.run_dir}" if job.run_dir.startswith("-") else job.run_dir
    srun = [
        "srun",
        "--kill-on-bad-exit=1",
        "--wait=60",
        *([f"--mpi={job.mpi}"] if job.mpi else []),
        *job.launcher_options,
    ]
    run = ["papympi", "run", *job.arguments, "--run-dir", run_dir]
    count = ["papympi", "status", run_dir, "--count"]
    setup = [["module", "load", *job.modules]] if job.modules else []
    setup += [["conda", "shell.bash", "hook"], ["conda", "activate", job.conda]] if job.conda else []
    if not job.until_done:
        return [*setup, [*srun, *run]]
    return [*setup, count, [*srun, *run, "--resume"], count, ["scontrol", "requeue", "7"]]


def fits_a_folder(word: str) -> bool:
    """Say whether a word can be made into a folder below the current one."""
    return "/" not in word and word not in {".", ".."} and len(os.fsencode(word)) < 255


@pytest.mark.timeout(240)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(words=st.lists(WORD, min_size=16, max_size=16), arguments=st.lists(WORD, max_size=3), until_done=st.booleans())
@example(words=["\udcff $(touch evil) \\' \""] * 16, arguments=["\udcff\n", "'\n#SBATCH --x"], until_done=True)
@example(words=["-'x'"] * 16, arguments=["", "--"], until_done=False)
def test_hostile_words_stay_words(words, arguments, until_done):
    job = hostile_job(words, arguments, until_done=until_done)
    if job.venv and not fits_a_folder(job.venv):
        job = replace(job, venv=None)
    try:
        text = batch_text(job)
    except OptionError:  # some arguments go with no job: --ranks, --input x=-
        job = replace(job, arguments=("a.py",))
        text = batch_text(job)
    with tempfile.TemporaryDirectory() as folder:
        assert run_script(text, Path(folder), job) == expected_calls(job)
    found = read_directives(text)
    for name in LINES:
        assert found.get(DIRECTIVES.get(name, name)) == getattr(job, name)
    assert found.get("comment") == (job.directives[0].partition("=")[2] if job.directives else None)
    assert set(found) - {"comment", *(DIRECTIVES.get(name, name) for name in LINES)} == {
        "nodes", "ntasks-per-node",
        *(["open-mode"] if job.run_dir else []), *(["requeue", "signal"] if until_done else []),
    }  # fmt: skip


def test_unquotable_is_refused():
    """What a line cannot carry is refused."""
    for name in LINES:
        for text in ("a\nb", "a\rb", "a\0b", "\x1b[1m", ""):
            with pytest.raises(OptionError, match=f"--{name.replace('_', '-')}: "):
                batch_text(replace(SAFE, **{name: text}))
