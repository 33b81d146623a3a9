"""Runs are ended at random moments, in every way there is, and go on: their output is that of one that was not ended.

    python -m tests.cli.random_ends --count 500 --seed 1

A trial is one run on one pool. It is ended a few times: some process of it (the runner, a server, a child, a rank,
`mpiexec`) gets a signal, or the disk is full (root is needed for that). Then it is resumed until it is done. What
counts: it is done at last, its results are those of the undisturbed run byte by byte, and no process, shared memory or
temporary file is left. `make test` plays a few trials.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.scripts.playing import LOOPBACK, find_marked

PIPELINE = """
import time
from papympi import DROP, node

@node(stride=3, retries=9)
def image(x):
    time.sleep(0.03)
    return DROP if x % 11 == 0 else x * 10

@node(stride=2, retries=9)
def part(image):
    yield from range(image, image + image % 4 + 2)

@node(stride=4, checkpoint=True, retries=9)
def checked(part):
    return "x" * 3000 + str(part)

@node(gather=True, retries=9)
def listed(checked):
    return [text[-9:] for text in checked]

@node(fold=int, combine=int.__add__, stride=4, retries=9)
def total(so_far, image):
    time.sleep(0.005)
    return so_far + image
"""

POOLS = ("threads:2", "asyncio", "processes:2", "mpi:2", "mpiexec")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP)
ENDS = 3
"""So often a run is ended, at most; then it is left alone."""
RESUMPTIONS = 12
PATIENCE_S = 60.0
ROOM = "256k"
"""What a full disk has."""


@dataclass
class Trial:
    """What was done to one run, and what came of it."""

    seed: int
    pool: str
    ends: list[str] = field(default_factory=list)
    wrong: str = ""


def command(pool: str, *more: str) -> list[str]:
    """Return the command of a run that goes on if it was begun."""
    folder = Path(sys.executable).parent
    ranks = [str(folder / "mpiexec"), "-n", "3"] if pool == "mpiexec" else []
    given = "*=mpi" if ranks else f"*={pool}"
    words = ["run", "pipe.py", "--input", "x=0..90", "--pool", given, "--no-progress", "--grace", "3"]
    return [*ranks, str(folder / "papympi"), *words, "--run-dir", "run/it", "--resume", *more]


@contextlib.contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Let the run directory lie on a small disk, which has grown when this is left."""
    folder.mkdir(exist_ok=True)
    kept = folder.with_name("kept")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", folder], check=True)
    try:
        yield
        shutil.copytree(folder, kept, dirs_exist_ok=True)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        if kept.exists():
            shutil.rmtree(folder)
            kept.rename(folder)


def end(chance: random.Random, process: subprocess.Popen[str], mark: str) -> str:
    """End a run in some way; return in which."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(chance.uniform(0, 4))
        return "done before"
    victims = find_marked(mark)
    if not victims:
        return "gone before"
    victim, number = chance.choice(victims), chance.choice(SIGNALS)
    with contextlib.suppress(psutil.Error):
        name = " ".join(victim.cmdline()).rpartition("/")[2][:30]
        victim.send_signal(number)
        if number == signal.SIGSTOP:
            time.sleep(chance.uniform(0.1, 1.5))
            victim.send_signal(signal.SIGCONT)
        return f"{number.name} to {name!r}"
    return "gone meanwhile"


def list_left(mark: str, temporary: Path) -> list[str]:
    """Return what is left of a run, which may take a moment to go."""
    until = time.monotonic() + 10
    while (left := find_marked(mark)) and time.monotonic() < until:
        time.sleep(0.05)
    shared = [str(path) for path in Path("/dev/shm").iterdir() if "papympi" in path.name]
    names = [f"process {each.pid} {' '.join(each.cmdline())[-80:]}" for each in left]
    return names + shared + [f"file {path}" for path in temporary.iterdir()]


def run_once(chance: random.Random | None, trial: Trial, folder: Path, mark: str) -> int | None:
    """Begin or resume a run, and perhaps end it; return its exit code, `None` if it hangs."""
    environ = os.environ | LOOPBACK | {"ENDS": mark.partition("=")[2], "TMPDIR": str(folder / "tmp")}
    on = {"cwd": folder, "env": environ, "stdin": subprocess.DEVNULL, "start_new_session": True, "text": True}
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(command(trial.pool), stdout=said, stderr=said, **on)
    try:
        trial.ends += [end(chance, process, mark)] if chance else []
        return process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        return None
    finally:
        for each in find_marked(mark) if process.poll() is None else ():
            with contextlib.suppress(psutil.Error):
                each.kill()
        process.wait()


def play(seed: int, pool: str, whole: bytes, folder: Path) -> Trial:
    """Play one trial."""
    chance, trial, mark = random.Random(seed), Trial(seed, pool), f"ENDS={uuid.uuid4()}"
    (folder / "pipe.py").write_text(PIPELINE)
    (folder / "tmp").mkdir()
    (folder / "run").mkdir()
    ends, code = chance.randint(1, ENDS), None
    if os.geteuid() == 0 and chance.random() < 0.1:
        with full_disk(folder / "run"):
            code = run_once(None, trial, folder, mark)
            trial.ends.append(f"full disk: {code}")
    for number in range(RESUMPTIONS):
        code = run_once(chance if number < ends else None, trial, folder, mark)
        if code is None or (code == 0 and number >= ends - 1):
            break
    results = folder / "run" / "it" / "results.jsonl"
    if code != 0:
        trial.wrong = f"exit code {code}: {(folder / 'said').read_text()[-900:]}"
    elif results.read_bytes() != whole:
        trial.wrong = "other results"
    elif left := list_left(mark, folder / "tmp"):
        trial.wrong = f"left: {left}"
    return trial


def find_whole(folder: Path) -> bytes:
    """Return the results of a run that nothing ends."""
    (folder / "pipe.py").write_text(PIPELINE)
    subprocess.run(command("inline"), cwd=folder, check=True, env=os.environ | LOOPBACK)
    return (folder / "run" / "it" / "results.jsonl").read_bytes()


def main() -> int:
    """Play many trials, and say what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pools", default=",".join(POOLS))
    given = parser.parse_args()
    wrong, ends, pools = 0, Counter[str](), given.pools.split(",")
    with tempfile.TemporaryDirectory() as name:
        whole = find_whole(Path(name))
    for seed in range(given.seed, given.seed + given.count):
        with tempfile.TemporaryDirectory() as name:
            trial = play(seed, pools[seed % len(pools)], whole, Path(name))
        ends.update(each.partition(" to ")[0].partition(":")[0] for each in trial.ends)
        wrong += bool(trial.wrong)
        print(f"{seed} {trial.pool}: {trial.ends} {trial.wrong or 'right'}", flush=True)
    print(f"{given.count} runs, ended {sum(ends.values())} times {dict(ends)}: {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
