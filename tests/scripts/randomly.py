"""Random programs give on `processes` what they give on `inline`, or are refused; `--help` says more."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.scripts.ingredients import draw_pieces
from tests.scripts.playing import BIN, start

IMPORTS = """\
import abc, array, collections, contextvars, dataclasses, datetime, decimal, enum, fractions, functools, itertools, json
import logging, operator, os, pathlib, queue, re, socket, sqlite3, sys, threading, types, typing, uuid, warnings
import numpy
import papympi
from papympi import NodeError, PapympiError, node, run
import aside

def caught_warning(text):
    with warnings.catch_warnings(record=True) as seen:
        try:
            warnings.warn(text)
        except UserWarning as error:
            return str(error)
    return len(seen)

class Item:
    def __init__(self, value):
        self.value = value
"""
NODES = """
@node(pool="work", stride=1)
def asked(number):
    return Item([{asks}])

@node(pool="work", stride=1)
def told(asked):
    assert isinstance(asked, Item)
    return asked.value

def outcome(pool):
    try:
        return ["gave", list(run({{"number": range(4)}}, pools={{"work": pool}}))]
    except NodeError as error:
        return ["failed", type(error.__cause__ or error).__name__, str(error)]
    except PapympiError as error:
        return ["refused", type(error).__name__, str(error)]
"""
MAIN = """\
for pool in sys.argv[1:]:
    print(json.dumps(outcome(pool), default=repr))
"""


def write_program(seed: int) -> tuple[str, str, bool]:
    """Return a script, its helper module, and whether it holds something open."""
    dice = random.Random(seed)
    pieces = draw_pieces(dice)

    def number(choose: Callable[..., str]) -> list[str]:
        return [choose(piece).replace("#", str(i)) for i, piece in enumerate(pieces) if choose(piece)]

    asks = ", ".join(number(lambda piece: piece.asks))
    body = [IMPORTS, *number(lambda piece: piece.top), NODES.format(asks=asks)]
    end = [*number(lambda piece: piece.after), MAIN]
    if dice.random() < 0.5:
        body += ['if __name__ == "__main__":', *(f"    {line}" for part in end for line in part.splitlines())]
    else:
        body += end
    helper = ['"""The helper module."""', *number(lambda piece: piece.helper)]
    return "\n".join(body) + "\n", "\n".join(helper) + "\n", any(piece.opens for piece in pieces)


def find_difference(seed: int, pools: tuple[str, str] = ("processes:2", "inline")) -> str:
    """Return what is wrong with a random program, or nothing. What is open may be refused, on one pool, too."""
    script, helper, opens = write_program(seed)
    with tempfile.TemporaryDirectory(prefix="random-") as name:
        folder = Path(name)
        (folder / "script.py").write_text(script)
        (folder / "aside.py").write_text(helper)
        played = start([BIN / "python", "script.py", *pools], folder, PYTHONHASHSEED="7")
    if played.left:
        return f"left behind: {played.left}"
    if played.code != 0 or len(played.values) != 2:
        return f"exit {played.code}: {played.err[-1500:]}"
    first, second = played.values
    if first[:2] == second[:2] or ("refused" in {first[0], second[0]} and opens) or (opens and "Warning" in played.err):
        return ""
    return f"{pools[0]} {json.dumps(first)}, {pools[1]} {json.dumps(second)}: {played.err[-500:]}"


def main() -> int:
    """Try some programs, and show those that are wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.scripts.randomly", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="how many programs")
    parser.add_argument("--seed", type=int, help="the number of the first; default: a new one, which is printed")
    parser.add_argument("--show", action="store_true", help="show the program of --seed, and end")
    parser.add_argument("--beside", type=int, default=4, help="how many run at once")
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    if asked.show:
        print("\n# --- aside.py\n".join(write_program(seed)[:2]))
        return 0
    print(f"programs {seed} to {seed + asked.count - 1}")
    with ThreadPoolExecutor(asked.beside) as threads:
        found = dict(
            zip(
                range(seed, seed + asked.count),
                threads.map(find_difference, range(seed, seed + asked.count)),
                strict=True,
            )
        )
    wrong = {number: why for number, why in found.items() if why}
    for number, why in wrong.items():
        print(f"{number}: {why}\n")
    print(f"{asked.count} programs, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
