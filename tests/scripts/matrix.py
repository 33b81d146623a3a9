"""Plays all programs in all ways on all pools, and writes docs/reference/what-arrives.md; `--help` says more."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from tests.scripts.page import PAGE, write_page
from tests.scripts.playing import POOLS, WAYS, Cell, Script, play, read_scripts

Cells = dict[str, dict[str, dict[str, Cell]]]
"""The cells of each program, way and pool."""


def read_arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.scripts.matrix", description=__doc__)
    parser.add_argument(
        "--programs", help="some names, with commas between them; default: all, and the page is written"
    )
    parser.add_argument("--ways", default=",".join(WAYS), help="some of: %(default)s")
    parser.add_argument("--pools", default=",".join(POOLS), help="some of: %(default)s")
    parser.add_argument("--beside", type=int, default=4, help="how many are played at once")
    parser.add_argument("--json", type=Path, help="where cells are written as JSON")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page that is written, if nothing is wrong")
    return parser.parse_args()


def play_all(scripts: list[Script], ways: list[str], pools: list[str], beside: int) -> Cells:
    """Return what came of some programs; whoever fails is played again when nothing is beside it."""
    cells: Cells = {script.name: {} for script in scripts}

    def task(script: Script, way: str) -> None:
        with tempfile.TemporaryDirectory(prefix="scripts-") as folder:
            cells[script.name][way] = play(script, way, pools, Path(folder))
        print(".", end="", flush=True)

    with ThreadPoolExecutor(beside) as threads:
        for done in [threads.submit(task, script, way) for script in scripts for way in ways]:
            done.result()
    for script in scripts:
        for way in ways:
            if any(cell.word == "wrong" for cell in cells[script.name][way].values()):
                task(script, way)
                tell_wrong(script.name, way, cells[script.name][way])
    return cells


def tell_wrong(name: str, way: str, row: dict[str, Cell]) -> None:
    """Print what is wrong with a program that has been played twice."""
    for pool, cell in row.items():
        if cell.word == "wrong":
            print(f"\n{name} {way} {pool}: {cell.why}", flush=True)


def main() -> int:
    """Play, print what is wrong, write the page."""
    asked, begun = read_arguments(), time.monotonic()
    names = asked.programs.split(",") if asked.programs else None
    scripts = [script for script in read_scripts() if names is None or script.name in names]
    ways, pools = asked.ways.split(","), asked.pools.split(",")
    cells = play_all(scripts, ways, pools, asked.beside)
    print(f"\nplayed in {time.monotonic() - begun:.0f} s")
    if asked.json:
        plain = {
            name: {way: {p: asdict(c) for p, c in row.items()} for way, row in of.items()} for name, of in cells.items()
        }
        asked.json.write_text(json.dumps(plain, indent=1))
    found = [cell for of in cells.values() for row in of.values() for cell in row.values()]
    wrong = sum(cell.word == "wrong" for cell in found)
    print(f"{len(found)} cells, {wrong} wrong")
    if names is None and not wrong and (tuple(ways), tuple(pools)) == (WAYS, POOLS):
        asked.page.write_text(write_page(scripts, cells), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
