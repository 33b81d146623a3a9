"""Batch scripts: the golden files that people copy, what is refused, and hostile words, which stay words."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from papympi.errors import OptionError
from papympi.launchers.slurm import batch_text, choose_launcher
from papympi.launchers.slurm_fields import FIELDS, flag_of, seconds_of
from papympi.launchers.slurm_job import Job, check_field, make_job
from papympi.launchers.slurm_template import fill_template

FOLDER = Path(__file__).parent.parent.parent / "slurm"
PLAIN = Job(
    arguments=("spectra.py", "--input", "frame=raw/*.fits", "--output", "spectra.jsonl"),
    job_name="spectra", nodes=4, tasks_per_node=16, time="4:00:00", launcher="srun", mpi="pmi2",
)  # fmt: skip
PIPELINE = PLAIN.arguments[:3]
GOLDEN = {
    "job": PLAIN,
    "mpiexec": replace(PLAIN, launcher="mpiexec", mpi=None, venv="venv"),
    "one-host": replace(
        PLAIN, nodes=1, tasks_per_node=1, cpus_per_task=32, mem="64G", launcher="none", mpi=None, run_dir="spectra.run"
    ),
    "until-done": replace(PLAIN, arguments=PIPELINE, run_dir="spectra.run", until_done=True),
    "array": replace(PLAIN, arguments=PIPELINE, run_dir="spectra.run", array="10%4", nodes=1),
    "array-until-done": replace(
        PLAIN, arguments=PIPELINE, run_dir="spectra.run", array="10", nodes=1, until_done=True, requeues=5
    ),
    "site": replace(
        PLAIN,
        cpus_per_task=4, mem="120G", partition="gpu", account="astro", qos="long", constraint="skylake&ib",
        gpus="a100:4", dependency="afterok:4711", mail_user="me@example.org", mail_type="END,FAIL",
        modules=("gcc/12", "openmpi/5"), conda="spectra", directives=("--exclusive", "--reservation=big one"),
        log="logs/%x-%j.log", launcher_options=("--cpu-bind=cores",), mpi="pmix",
    ),
}  # fmt: skip
TEMPLATE = """\
#!/bin/bash
# {{job_name}} at our site
{{directives}}
#SBATCH --comment="by {{ account }}"

export SCRATCH=/scratch/$USER/{{job_name}}
{{setup}}
date
{{run}}
"""


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_file(name):
    path, text = FOLDER / f"{name}.sbatch", batch_text(GOLDEN[name])
    if "RENEW" in os.environ:
        path.write_text(text)
    difference = difflib.unified_diff(path.read_text().splitlines(), text.splitlines(), path.name, "now", lineterm="")
    assert path.read_text() == text, "\n".join(
        ["it is not what is written now; if that is right: RENEW=1 pytest tests/launchers/test_slurm.py", *difference]
    )


def test_every_file_is_golden():
    assert {path.stem for path in FOLDER.glob("*.sbatch")} == set(GOLDEN)


def test_scripts_are_clean():
    files = [*FOLDER.glob("*.sbatch"), *FOLDER.rglob("*.sh")]
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_nothing_unasked():
    """Nothing is asked for unasked."""
    text = batch_text(Job(arguments=("a.py",)))
    assert [line for line in text.splitlines() if line.startswith("#SBATCH")] == [
        "#SBATCH --job-name=papympi",
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks-per-node=1",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time": "4h"}, "--time: '4h' is not a time"),
        ({"time": "0"}, "--time: '0' is not a time"),
        ({"job_name": "a\n#SBATCH --partition=x"}, r"--job-name: .* no directive .* can carry the character '\\n'"),
        ({"partition": ""}, "--partition: it is empty"),
        ({"account": "a" * 5000}, "--account: 'aaaa.* is longer than"),
        ({"mem": "64 GB"}, "--mem: '64 GB' is not a number with K, M, G or T"),
        ({"gpus": "a100"}, "--gpus: 'a100' is not a number, or TYPE:NUMBER"),
        ({"array": "0-9", "run_dir": "r"}, "--array: '0-9' is not N, or N%M"),
        ({"signal": "TERM"}, "--signal: 'TERM' is neither USR1 nor USR2"),
        ({"launcher": "aprun"}, "--launcher: 'aprun' is none of auto, srun"),
        ({"modules": ("-x",)}, "--module: '-x' begins with a dash"),
        ({"directives": ("exclusive",)}, "--directive: 'exclusive' is not of the form"),
        ({"directives": ("--time=3",)}, "--directive: '--time=3': there is an option for this, --time"),
        ({"directives": ("--signal=9",)}, "--directive: .* papympi decides on --signal itself"),
        ({"log": "a\\%j"}, "--log: .* with a backslash"),
        ({"venv": "v", "conda": "c"}, "--venv and --conda"),
        ({"until_done": True}, "--until-done needs a run directory"),
        ({"array": "3"}, "--array needs a run directory"),
        ({"until_done": True, "run_dir": "r\n"}, "--run-dir: "),
        ({"until_done": True, "run_dir": "r", "time": "2", "lead": 120}, "--lead 120: so many seconds before"),
        ({"launcher": "none", "nodes": 2}, "--launcher none starts one process, and 2 ranks are asked for"),
        ({"launcher": "mpiexec", "mpi": "pmix"}, "--mpi pmix is an option of srun, and the launcher is mpiexec"),
        ({"array": "3", "run_dir": "r", "arguments": ("a.py", "--output", "b")}, "--output and --array: .*merge"),
        ({"array": "3", "run_dir": "r", "arguments": ("a.py", "--shard", "0/2")}, "--shard and --array"),
        ({"arguments": ("a.py", "--ranks=3")}, "--ranks starts ranks on one host"),
        ({"arguments": ("a.py", "--input", "x=-")}, "--input x=-: a job has no standard input"),
        ({"arguments": ("--help",)}, "'--help' is not a pipeline"),
        ({"arguments": ("a.py", "\0")}, "NUL"),
    ],
)
def test_impossible_names_option(changes, message):
    """What cannot be is refused with the option."""
    with pytest.raises(OptionError, match=message):
        batch_text(replace(Job(arguments=("a.py",)), **changes))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 5400), ("4:30", 270), ("4:00:00", 14400), ("1-0", 86400), ("1-2:3", 93780), ("1-0:0:1", 86401), ("1:", 0)],
)
def test_times(text, seconds):
    assert seconds_of(text) == seconds


def test_short_limit_short_lead():
    """A short limit has a short lead."""
    assert [replace(PLAIN, time=time).lead_s for time in (None, "4:00:00", "2", "0:0:1")] == [120, 120, 30, 1]
    assert replace(PLAIN, lead=600).lead_s == 600


def test_words_become_options():
    """Words of all kinds become options."""
    values = {"nodes": "2", "modules": "gcc, mpi", "command": "python -m papympi", "signal": "sigusr2", "venv": "-v"}
    job = make_job(("a.py",), values)
    assert (job.nodes, job.modules, job.command) == (2, ("gcc", "mpi"), ("python", "-m", "papympi"))
    assert (job.signal, job.venv) == ("USR2", "./-v")


def test_wrong_name_gets_right_one():
    """A wrong name is answered with the right one."""
    with pytest.raises(OptionError, match="place: there is no option 'partion' of a job; did you mean 'partition'"):
        check_field("partion", "x", "place")


@pytest.mark.parametrize(
    ("vendor", "types", "launcher"),
    [
        ("MPICH", ["none", "pmi2", "pmix"], ("srun", "pmi2")),
        ("MPICH", ["none"], ("mpiexec", None)),
        ("MPICH", None, ("srun", "pmi2")),
        ("Open MPI", ["pmi2", "pmix"], ("srun", "pmix")),
        ("Open MPI", ["pmi2"], ("mpiexec", None)),
        ("Open MPI", None, ("mpiexec", None)),
        ("Intel MPI", ["pmi2"], ("mpiexec", None)),
        ("unknown", ["pmi2"], ("srun", None)),
    ],
)
def test_launcher_fits_the_mpi(vendor, types, launcher):
    assert choose_launcher(vendor, types) == launcher


def test_a_template_is_filled_in():
    job = replace(PLAIN, account="astro", venv="v")
    lines = fill_template(TEMPLATE, job, "t").splitlines()
    assert lines[1:4] == ["# spectra at our site", "#SBATCH --job-name=spectra", "#SBATCH --nodes=4"]
    assert '#SBATCH --comment="by astro"' in lines
    assert "export SCRATCH=/scratch/$USER/spectra" in lines
    assert "source v/bin/activate || exit" in lines
    assert lines[-2:] == batch_text(job).splitlines()[-2:]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (TEMPLATE.replace("{{run}}", ""), r"t: a template needs a line with \{\{run\}\}"),
        (TEMPLATE.replace("{{setup}}", ""), r"a template needs a line with \{\{setup\}\}"),
        (
            TEMPLATE.replace("{{directives}}", "date\n{{directives}}"),
            "t:3: sbatch reads no directives behind a command",
        ),
        (TEMPLATE + "echo {{run}}", "t:10: {{run}} needs a line of its own"),
        (TEMPLATE + "{{partion}}", "t:10: there is no field 'partion'; did you mean 'partition'"),
        (TEMPLATE + 'echo "for {{mail_user}}"', r"t:10: mail_user is '\$\(date\)'"),
    ],
)
def test_bad_template_is_refused(template, message):
    """A template that would go wrong is refused."""
    with pytest.raises(OptionError, match=message):
        fill_template(template, replace(PLAIN, venv="v", mail_user="$(date)"), "t")


def test_flags_and_names():
    assert flag_of("tasks_per_node") == "--tasks-per-node"
    assert flag_of("modules") == "--module"
    assert all(field.help.endswith((".", "NAME")) for field in FIELDS.values())
