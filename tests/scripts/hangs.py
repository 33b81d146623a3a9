"""Runs scripts of libraries that have threads of their own again and again: does one hang? `--help` says more."""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.scripts.playing import Script, play, read_scripts

PLACES = [(way, pool) for way in ("run", "guarded", "unguarded") for pool in ("processes", "mpi", "loky")]


def play_one(case: tuple[int, Script, tuple[str, str]]) -> str:
    """Return what is wrong with one run, or nothing."""
    number, script, (way, pool) = case
    with tempfile.TemporaryDirectory(prefix="hangs-") as folder:
        cell = play(script, way, [pool], Path(folder))[pool]
    print(".", end="", flush=True)
    return f"{number}: {script.name} {way} {pool}: {cell.why}" if cell.word == "wrong" else ""


def main() -> int:
    """Run, and show what hung or was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.scripts.hangs", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="how many runs, divided among libraries, ways and pools")
    parser.add_argument("--libraries", help="some names, with commas between them; default: all")
    parser.add_argument("--beside", type=int, default=3, help="how many run at once")
    asked, begun = parser.parse_args(), time.monotonic()
    names = asked.libraries.split(",") if asked.libraries else None
    scripts = [script for script in read_scripts() if script.fields["kind"] == "libraries"]
    scripts = [script for script in scripts if names is None or script.name.partition("_")[2] in names]
    cases = itertools.islice(itertools.cycle(itertools.product(scripts, PLACES)), asked.runs)
    with ThreadPoolExecutor(asked.beside) as threads:
        found = list(threads.map(play_one, [(number, *case) for number, case in enumerate(cases)]))
    wrong = [why for why in found if why]
    print("", *wrong, f"{asked.runs} runs in {time.monotonic() - begun:.0f} s, {len(wrong)} wrong", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
