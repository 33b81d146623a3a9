"""Plays random cases and tells what is wrong, with the smallest graph: python -m tests.fuzz --help."""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time

from tests.fuzz.drawing import MODES, Drawing
from tests.fuzz.findings import Finding, say
from tests.fuzz.sandbox import Sandbox
from tests.fuzz.shrinking import shrink
from tests.fuzz.specs import Case


def tell(case: Case, found: Finding, sandbox: Sandbox, seconds: float) -> None:
    """Write a finding, a line first, with the smallest graph that shows it."""
    line = (
        found.text.strip().splitlines()[0] if found.kind in {"died", "hangs"} else found.text.strip().splitlines()[-1]
    )
    say(f"FINDING {case.profile} {case.seed} {found.mode}: {line[:400]}")

    def is_wrong(other: Case) -> bool:
        again = sandbox.play(other)
        return again is not None and again.kind == found.kind

    smallest = shrink(case, is_wrong, seconds=seconds) if seconds else case
    say(f"{smallest.show()}\n  {found.text.strip()[-1500:]}")


def main() -> int:
    """Play some cases; return 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, help="the number of the first case; default: a new one, which is printed")
    parser.add_argument("--count", type=int, default=sys.maxsize, help="how many cases")
    parser.add_argument("--profile", action="append", choices=MODES, help="of which kind; may be given several times")
    parser.add_argument("--seconds", type=float, default=600, help="for how long no new case is begun after the first")
    parser.add_argument("--shrink", type=float, default=60, help="how many seconds to make a finding smaller; 0: not")
    parser.add_argument("--show", action="store_true", help="show the first case, and end")
    asked = parser.parse_args()
    first = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    profiles = asked.profile or list(MODES)
    if asked.show:
        say(Drawing(first, profiles[0]).draw().show())
        return 0
    numbers = itertools.count(first)
    end, wrong, played = time.monotonic() + asked.seconds, 0, 0
    with Sandbox() as sandbox:
        for number, profile in itertools.islice(zip(numbers, itertools.cycle(profiles), strict=False), asked.count):
            case = Drawing(number, profile).draw()
            found = sandbox.play(case)
            played += 1
            if found is not None:
                wrong += 1
                tell(case, found, sandbox, asked.shrink)
            if not played % 100:
                say(f"{played} played, {wrong} wrong, the last one {profile} {number}")
            if time.monotonic() > end:
                break
    say(f"cases from {first} of {', '.join(profiles)}: {played} played, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
