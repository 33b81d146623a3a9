"""A process of its own in which cases are played, so that one that hangs or dies is a finding like any other."""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

import psutil

from tests.fuzz.findings import Finding
from tests.fuzz.specs import Case

LIMIT_S = {"light": 120, "processes": 90, "crash": 150, "mpi": 150, "hang": 240, "resume": 400, "shards": 300}
"""How long a case of each profile may take."""
ROOT = Path(__file__).parents[2]


class Sandbox:
    """Plays cases in a child process, which is replaced when it hangs or dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-")
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the exit

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()
        self._words.close()
        self._folder.cleanup()

    def play(self, case: Case) -> Finding | None:
        """Return what is wrong with a case, or nothing."""
        if self._pipe is None:
            self._begin()
        assert self._pipe is not None
        assert self._process is not None
        limit_s = LIMIT_S.get(case.profile, 60)
        try:
            self._pipe.send(case)
            if self._pipe.poll(limit_s):
                return self._pipe.recv()
        except (EOFError, OSError):
            code = self._process.wait()
            return self._finish("died", f"the process died with {code}")
        self._process.send_signal(signal.SIGABRT)  # it says where its threads are
        return self._finish("hangs", f"no end within {limit_s} s")

    def _begin(self) -> None:
        mine, other = socket.socketpair()
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.sandbox", str(other.fileno())],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": self._folder.name},
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._words,
                stderr=self._words,
                start_new_session=True,
            )
        self._pipe = Connection(mine.detach())

    def _finish(self, kind: str, text: str) -> Finding:
        """End the child process, and tell with what it said last."""
        self._end()
        self._words.seek(0)
        said = self._words.read().decode(errors="replace")[-4000:]
        return Finding("process", kind, f"{text}\n{said}")

    def _end(self) -> None:
        if self._process is None or self._pipe is None:
            return
        self._pipe.close()
        family = psutil.Process(self._process.pid).children(recursive=True) if self._process.poll() is None else []
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for child in family:
            if child.is_running():
                child.kill()
        self._process = self._pipe = None


def start_trackers() -> None:
    """Start what the standard library and loky start once and keep, so that it does not look left behind."""
    from multiprocessing import resource_tracker

    from loky.backend import resource_tracker as of_loky

    resource_tracker.ensure_running()
    of_loky.ensure_running()


def serve(descriptor: int) -> None:
    """Play the cases that come through a pipe until it is closed."""
    from tests.fuzz.playing import play

    faulthandler.enable()
    start_trackers()
    os.set_inheritable(descriptor, False)
    pipe = Connection(descriptor)
    while True:
        try:
            case = pipe.recv()
        except EOFError:
            return
        pipe.send(play(case))


if __name__ == "__main__":
    serve(int(sys.argv[1]))
