"""The shell part of a batch script: how words are quoted, how the ranks are started, how a job goes on until done."""

from __future__ import annotations

import re
import shlex
from typing import Final

from papympi.launchers.mpiexec import DRAIN_ON
from papympi.launchers.slurm_fields import check_path
from papympi.launchers.slurm_job import Job

NUMBER: Final = "submit.job"
"""File in the run directory: the number of the last job that was submitted for it."""
SRUN: Final = ("srun", "--kill-on-bad-exit=1", "--wait=60")
"""Ranks end together. A host whose part of Slurm has died says nothing of that, and srun would wait for ever."""
_MARGIN_S: Final = 30
_QUIET_S: Final = 10
_ESCAPES: Final = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

_UNTIL_DONE: Final = """\
requeued=$((${{1:-0}} + ${{SLURM_RESTART_COUNT:-0}})) # so often until now

tell() {{ echo "papympi submit: $*" >&2; }}
finished() {{ {command} status "$run_dir" --count; }} # how many results there are

# Some time before the limit Slurm sends SIG{signal} to this script alone. It passes it on once, and papympi drains.
warned='' ended='' step='' passed='' begun=0
pass_on() {{
    [[ -n $step && -z $passed ]] || return 0
    passed=1
    while ((SECONDS < begun + {quiet})); do sleep 1; done # ranks that are just starting would die of it
    kill -s {signal} "$step"
}}
trap 'warned=1; pass_on' {signal}
trap 'ended=1' TERM # cancelled, preempted or at the limit: Slurm tells the ranks itself

before=$(finished) || exit
{step} &
step=$! begun=$SECONDS
[[ -z $warned ]] || pass_on
wait "$step"
code=$?
if [[ -n $warned$ended ]]; then # a signal, not the end of the ranks, may be what woke us
    end=$((SECONDS + {patience}))
    while kill -s 0 "$step" 2>/dev/null && ((SECONDS < end)); do sleep 1; done
    if kill -s 0 "$step" 2>/dev/null; then
        code=75 # they take too long; to requeue the job ends them, and what is finished is finished
    else
        wait "$step"
        code=$?
    fi
fi

case $code in
    0 | 1 | 2) exit "$code" ;; # done, done but for what failed, a mistake that no repetition mends
esac
if [[ -n $ended ]]; then
    tell "Slurm has ended this job with work left; unless Slurm itself begins it again, submit it again to go on"
    exit "$code"
fi
after=$(finished) || exit
if ((after <= before)); then
    tell "this attempt ended with code $code and has finished nothing: $after results, as before. Not requeued." \\
        "If an item needs longer than an attempt lasts, ask for more --time; else the lines above say what is wrong."
    exit "$code"
fi
if ((requeued >= {requeues})); then
    tell "$after results are finished, and work is left, but the job was requeued $requeued times (--requeues)"
    exit "$code"
fi
tell "$after results are finished, $((after - before)) of them in this attempt (code $code); work is left: once more"
job={job}
refusal=$(scontrol requeue "$job" 2>&1) && exit 0 # which ends this script, too
case $refusal in
    *disabled* | *denied* | *ermission*) # where jobs may not be requeued, another one follows
        sbatch --parsable --dependency="afterany:$job"{array} "$0" $((requeued + 1)) >"$run_dir/{number}" &&
            tell "job $(<"$run_dir/{number}") goes on"
        ;;
    *) tell "not requeued: $refusal" ;; # Slurm is about to do it, or to end the job, by itself
esac
exit "$code"
"""


def quote(word: str) -> str:
    r"""Return a word as bash reads it back, on one line: a newline in it becomes `\n`."""
    if not re.search(r"[\x00-\x1f\x7f]", word):
        return shlex.quote(word)
    escaped = (_ESCAPES.get(letter) or (f"\\x{ord(letter):02x}" if ord(letter) < 32 else letter) for letter in word)
    return f"$'{''.join(escaped)}'"


def write_setup(job: Job) -> str:
    """Return the lines that load modules and activate an environment; "" if there are none."""
    lines = []
    if job.modules:
        lines.append(f"module load {' '.join(map(quote, job.modules))} || exit")
    if job.venv:
        lines += ["# shellcheck disable=SC1091", f"source {quote(check_path(job.venv))}/bin/activate || exit"]
    if job.conda:
        lines += ['eval "$(conda shell.bash hook)" || exit', f"conda activate {quote(job.conda)} || exit"]
    if job.signal != "USR1" and job.until_done:
        lines.append(f"export {DRAIN_ON}={job.signal}")
    if job.until_done and job.launcher in ("auto", "srun"):
        lines.append("export SLURM_EXIT_ERROR=76 # what goes wrong in srun itself is no code of papympi's")
    if job.asks_launcher:
        command = " ".join(map(quote, job.command))
        lines.append(f"launcher=$({command} doctor --launcher) || exit # what starts ranks of the MPI that is here")
        lines.append('mapfile -t launcher <<<"$launcher"')
    return "".join(f"{line}\n" for line in lines)


def write_run(job: Job) -> str:
    """Return the lines that run the pipeline, once or until it is done."""
    place = _write_place(job)
    if not job.until_done:
        return f"{place}exec {write_step(job)}\n"
    member = "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" if job.array else "$SLURM_JOB_ID"
    return place + _UNTIL_DONE.format(
        command=" ".join(map(quote, job.command)),
        signal=job.signal,
        step=write_step(job),
        quiet=_QUIET_S,
        number=NUMBER,
        patience=max(job.lead_s - _MARGIN_S, job.lead_s // 2),
        requeues=job.requeues,
        job=member,
        array=' --array="$SLURM_ARRAY_TASK_ID"' if job.array else "",
    )


def write_step(job: Job) -> str:
    """Return the command that starts the ranks."""
    start = " ".join([*_launcher_words(job), *map(quote, job.launcher_options)])
    words = [*map(quote, job.command), "run", *map(quote, job.arguments), *_run_options(job)]
    return f"{start} \\\n    {' '.join(words)}" if start else " ".join(words)


def _launcher_words(job: Job) -> list[str]:
    if job.launcher == "none":
        return []
    if job.launcher == "mpiexec":
        return [quote(check_path(job.mpiexec)), "-n", '"$SLURM_NTASKS"']
    if job.asks_launcher:
        return ['"${launcher[@]}"']
    words = [*SRUN]
    if job.mpi:
        words.append(quote(f"--mpi={job.mpi}"))
    if job.cpus_per_task:  # a step does not take this over from its job
        words.append(f"--cpus-per-task={job.cpus_per_task}")
    return words


def _write_place(job: Job) -> str:
    """Return the line that says where the run directory is."""
    if job.run_dir is None:
        return ""
    part = '/part-"$SLURM_ARRAY_TASK_ID"' if job.array else ""
    return f"run_dir={quote(check_path(job.run_dir))}{part}\n"


def _run_options(job: Job) -> list[str]:
    """Return the options of `papympi run` that belong to the job."""
    if job.run_dir is None:
        return []
    words = ["--run-dir", '"$run_dir"']
    if job.array:
        words += ["--shard", f'"$SLURM_ARRAY_TASK_ID/{job.shares}"']
    if "--resume" in job.arguments:
        return words
    return [*words, "--resume" if job.until_done else '${SLURM_RESTART_COUNT:+"--resume"}']
