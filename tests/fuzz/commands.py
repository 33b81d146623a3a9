"""Plays a case by the command line: a run directory and sudden ends; shards that are merged."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.fuzz import rules
from tests.fuzz.drawing import POOLS
from tests.fuzz.findings import insist, tell_difference
from tests.fuzz.naive import Failed, Naive
from tests.fuzz.specs import Case, Step

ROOT = Path(__file__).parents[2]
PAPYMPI = Path(sys.executable).parent / "papympi"
PATIENCE_S = 90
MOST_ATTEMPTS = 30
PIPELINE = """\
import pickle
from pathlib import Path
from papympi import graph
from tests.fuzz.building import add_nodes

add_nodes(graph, pickle.loads(Path("case.pkl").read_bytes()), str(Path("tries").absolute()))
"""


def write(case: Case, folder: Path) -> list[str]:
    """Write a pipeline with its inputs; return the words of the command that runs it."""
    (folder / "tries").mkdir()
    (folder / "case.pkl").write_bytes(pickle.dumps(case))
    (folder / "pipeline.py").write_text(PIPELINE)
    words = ["run", "pipeline.py", "--no-progress", "--output", "results.jsonl", "--seed", str(rules.SEED)]
    for spec in case.specs:
        if spec.kind == "input":
            rows = "".join(f"{rules.row_of(spec.name, number)}\n" for number in range(spec.size))
            (folder / f"{spec.name}.jsonl").write_text(rows)
            words += ["--input", f"{spec.name}=@{spec.name}.jsonl"]
    for target in case.targets:
        words += ["--target", target]
    return words


def draw_ways(case: Case, chance: random.Random | None = None) -> list[str]:
    """Return what says how it is run, which changes no result; without chance as the case says it."""
    draw = POOLS[case.profile] if chance is not None and chance.random() < 0.5 else ()
    words = []
    for name, pool in case.pools.items():
        words += ["--pool", f"{name}={chance.choice(draw) if draw and chance is not None else pool}"]
    if chance is not None and chance.random() < 0.3:
        words += ["--admission", str(chance.choice([1, 3, 20]))]
    return words


def read_failures(folder: Path) -> list[tuple[str, list[int]]]:
    """Return the failures that a run has written, which come in the order of their time."""
    path = folder / "failures.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return sorted((line["node"], line["key"]) for line in map(json.loads, lines))


def begin(words: list[str], folder: Path) -> subprocess.Popen[str]:
    """Start the command."""
    with (folder / "said").open("a") as said:
        return subprocess.Popen(
            [PAPYMPI, *words], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=said, stderr=said
        )


def finish(process: subprocess.Popen[str], folder: Path, family: set[psutil.Process]) -> int:
    """Wait for a command, and look whether all its processes have ended with it."""
    try:
        code = process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        time.sleep(1)
        for each in family:
            if each.is_running():
                each.kill()
        process.kill()
        code = None
    said = (folder / "said").read_text(errors="replace")
    insist(code is not None, f"the command hangs: {said[-1500:]}")
    told = re.findall(r"^Traceback.*\n(?:\s.*\n)*(.*)", said, re.MULTILINE)
    bad = [error for error in told if error != "KeyboardInterrupt"]  # while Python is still starting
    insist(not bad, f"the command says a traceback: {bad} {said[-1500:]}")
    _, alive = psutil.wait_procs([each for each in family if each.pid != process.pid], timeout=15)
    insist(not alive, f"processes are left: {alive}")
    return code


def list_family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return a process and all below it."""
    try:
        first = psutil.Process(process.pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def disturb(process: subprocess.Popen[str], chance: random.Random, length_s: float) -> set[psutil.Process]:
    """Send signals to a command or to its processes at random moments; return all its processes that were seen."""
    family: set[psutil.Process] = set()
    for _ in range(chance.choice([1, 1, 2])):
        try:
            process.wait(chance.uniform(0, length_s))
            break
        except subprocess.TimeoutExpired:
            there = list_family(process)
        family |= set(there)
        kind = chance.choice(["runner", "runner", "stop", "interrupt", "warn", "any", "all"])
        victims = {"any": there[1:2], "all": there}.get(kind, there[:1])
        number = {"stop": signal.SIGTERM, "interrupt": signal.SIGINT, "warn": signal.SIGUSR1}.get(kind, signal.SIGKILL)
        for victim in victims:
            try:
                victim.send_signal(number)
            except psutil.NoSuchProcess:
                continue
    return family | set(list_family(process))


def check_output(path: Path, case: Case, expected: Naive) -> None:
    """Compare an output file with the evaluator."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for target in case.targets:
        found = [(tuple(line["key"]), line["value"]) for line in lines if line["node"] == target]
        wanted = [
            (key, list(value) if isinstance(value, tuple) else value)
            for key, value in expected.list_target(target)
            if not isinstance(value, Failed)
        ]
        insist(found == wanted, f"output: {target} {tell_difference(found, wanted)}")


def play_killed(case: Case, step: Step, expected: Naive) -> None:
    """Run with a run directory, end it at random moments, resume it: the output is that of a run without an end."""
    chance = random.Random(f"{case.seed} {step.number}")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        words, begun = write(case, folder), time.monotonic()
        code = finish(begin([*words, *draw_ways(case), "--run-dir", "whole"], folder), folder, set())
        insist(code in {0, 1}, f"the whole run: exit {code}: {(folder / 'said').read_text()[-1500:]}")
        check_output(folder / "whole" / "results.jsonl", case, expected)
        length_s = time.monotonic() - begun
        for attempt in range(MOST_ATTEMPTS):
            process = begin([*words, *draw_ways(case, chance), "--run-dir", "cut", "--resume"], folder)
            family = disturb(process, chance, length_s) if attempt < 6 else set()
            code = finish(process, folder, family)
            if code in {0, 1}:
                break
        insist(code in {0, 1}, f"it never came to its end: exit {code}: {(folder / 'said').read_text()[-1500:]}")
        whole, cut = ((folder / each / "results.jsonl").read_text().splitlines() for each in ("whole", "cut"))
        insist(cut == whole, f"the resumed output: {tell_difference(cut, whole)}")
        whole, cut = (read_failures(folder / each) for each in ("whole", "cut"))
        if not expected.unsure:
            insist(cut == whole, f"the resumed failures: {tell_difference(cut, whole)}")


def play_shards(case: Case, step: Step, expected: Naive) -> None:
    """Run each shard with a run directory, kill some, resume them, and merge: the output is that of one run."""
    chance = random.Random(f"{case.seed} {step.number}")
    many = chance.choice([1, 2, 3, 7])
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        words = write(case, folder)
        code = finish(begin([*words, *draw_ways(case), "--run-dir", "whole"], folder), folder, set())
        insist(code in {0, 1}, f"the whole run: exit {code}: {(folder / 'said').read_text()[-1500:]}")
        check_output(folder / "whole" / "results.jsonl", case, expected)
        for number in range(many):
            run_shard(
                [
                    *words,
                    *draw_ways(case, chance),
                    "--shard",
                    f"{number}/{many}",
                    "--run-dir",
                    f"parts/part-{number}",
                    "--resume",
                ],
                folder,
                chance,
            )
        code = finish(begin(["merge", "parts", "--output", "merged.jsonl"], folder), folder, set())
        insist(code == 0, f"merge: exit {code}: {(folder / 'said').read_text()[-1500:]}")
        whole = (folder / "whole" / "results.jsonl").read_text().splitlines()
        merged = (folder / "merged.jsonl").read_text().splitlines()
        insist(merged == whole, f"the merged output: {tell_difference(merged, whole)}")
        shutil.rmtree(folder / "parts")


def run_shard(words: list[str], folder: Path, chance: random.Random) -> None:
    """Run a shard to its end, which may take several attempts."""
    code = None
    for attempt in range(MOST_ATTEMPTS):
        process = begin(words, folder)
        family = disturb(process, chance, 1.2) if attempt < 3 and chance.random() < 0.5 else set()
        code = finish(process, folder, family)
        if code in {0, 1}:
            return
    insist(False, f"a shard never came to its end: exit {code}: {(folder / 'said').read_text()[-1500:]}")
