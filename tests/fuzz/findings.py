"""What is found, how it is told, and what a run has left behind."""

from __future__ import annotations

import gc
import os
import re
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import psutil

PATIENCE_S = 5
"""How long what is ending may take to end."""


class Wrong(Exception):
    """A run did what it should not."""


@dataclass
class Finding:
    """Something wrong: in which mode, and what.

    Attributes:
        mode: what was done with the run.
        kind: the same for findings that are likely to have one cause; shrinking keeps it.
        text: what came and what should.
    """

    mode: str
    kind: str
    text: str


def insist(condition: bool, text: str) -> None:
    """Make a finding of what does not hold."""
    if not condition:
        raise Wrong(text)


def tell_difference(found: list[Any], wanted: list[Any]) -> str:
    """Return where two lists begin to differ."""
    for number, (one, other) in enumerate(zip_longest(found, wanted)):
        if one != other:
            return f"at {number} of {len(found)}, wanted {len(wanted)}: got {one}, wanted {other}"
    return "same"


def classify(text: str) -> str:
    """Return what is left of a message without its numbers and names."""
    return re.sub(r"\d+|\b(pre\.)?[ns]#\b|at 0x\w+", "#", text.partition(":")[0] if ":" in text else text)[:60]


class Leftovers:
    """A look at processes, threads, descriptors and shared memory: what is there afterwards and was not before."""

    def __init__(self) -> None:
        self._before = self._look()

    def find(self) -> list[str]:
        """Return what is left once all that is ending had time to end."""
        end = time.monotonic() + PATIENCE_S
        while True:
            gc.collect()
            left = sorted(self._look() - self._before)
            if not left or time.monotonic() > end:
                return [self._describe(kind, name) for kind, name in left]
            time.sleep(0.05)

    def _look(self) -> set[tuple[str, str]]:
        found = {("thread", str(each.ident)) for each in threading.enumerate()}
        for child in psutil.Process().children(recursive=True):
            found.add(("process", str(child.pid)))
        for entry in Path("/proc/self/fd").iterdir():
            try:
                found.add(("descriptor", f"{entry.name} {entry.readlink()}"))
            except FileNotFoundError:  # the descriptor of the listing itself
                continue
        found |= {("temporary file", path.name) for path in Path(tempfile.gettempdir()).iterdir()}
        found |= {("shared memory", path.name) for path in Path("/dev/shm").iterdir() if self._is_ours(path)}
        return {each for each in found if not self._is_kept(*each)}

    def _is_ours(self, path: Path) -> bool:
        """Say whether a file may be ours: others use the machine as well."""
        try:
            return path.stat().st_uid == os.getuid() and str(os.getpid()) in path.name
        except FileNotFoundError:
            return False

    def _is_kept(self, kind: str, name: str) -> bool:
        """Say whether it is what the standard library and loky start once and keep: trackers of resources."""
        if kind != "process":
            return False
        try:
            return "resource_tracker" in " ".join(psutil.Process(int(name)).cmdline())
        except psutil.Error:
            return True

    def _describe(self, kind: str, name: str) -> str:
        if kind == "thread":
            return f"thread {next((each.name for each in threading.enumerate() if str(each.ident) == name), name)}"
        if kind == "process":
            try:
                return f"process {name} {' '.join(psutil.Process(int(name)).cmdline())[:80]}"
            except psutil.Error:
                return f"process {name}"
        return f"{kind} {name}"


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
