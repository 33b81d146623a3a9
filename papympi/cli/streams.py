"""The run's standard input and output, kept for the run alone: no node, program or C library reads or writes there."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from fcntl import F_DUPFD_CLOEXEC, fcntl
from typing import Final, TextIO

IN: Final = 0
OUT: Final = 1
ERR: Final = 2


@contextlib.contextmanager
def own_output(*, lasting: bool) -> Iterator[TextIO]:
    """Yield a copy of standard output for results; while the block lasts, descriptor 1 is standard error.

    What node functions print, what C libraries do and what programs do that they start is then never found between
    results. A standard output that is no descriptor is left as it is.

    Args:
        lasting: descriptor 1 stays standard error, as the process has nothing else to do: results end with the run.
    """
    if _number(sys.stdout) != OUT:
        yield sys.stdout
        return
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.flush()
    sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    copy = _copy(OUT)
    os.dup2(_target(), OUT)
    results = open(copy, "w", encoding=sys.stdout.encoding, errors="backslashreplace", closefd=False)  # noqa: SIM115 - closed below
    try:
        yield results
        results.flush()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        if not lasting:
            os.dup2(copy, OUT)
        with contextlib.suppress(OSError):  # nobody reads any more, which the block has seen
            results.close()
        os.close(copy)


@contextlib.contextmanager
def own_input() -> Iterator[None]:
    """Let `sys.stdin` be a copy of standard input for the block; descriptor 0 is at its end from now on, for everyone.

    A program that a node starts, and `input()` in a node, read nothing of what are the items of the run.
    """
    stdin = sys.stdin
    if _number(stdin) != IN:
        yield
        return
    copy = _copy(IN)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, IN)
    os.close(null)
    sys.stdin = open(copy, encoding=stdin.encoding, errors=stdin.errors)  # noqa: SIM115, PTH123 - of a descriptor; it lives as long as the input
    try:
        yield
    finally:
        sys.stdin = stdin


def _copy(descriptor: int) -> int:
    """Return a copy of a descriptor, which programs do not get, and which is not in the place of one that is closed."""
    return fcntl(descriptor, F_DUPFD_CLOEXEC, ERR + 1)


def _number(stream: TextIO | None) -> int:
    """Return the descriptor of a stream; -1: it has none."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if stream is not None:
            return stream.fileno()
    return -1


def _target() -> int:
    """Return where the output of others goes: standard error, or nowhere if that is closed."""
    with contextlib.suppress(OSError):
        os.fstat(ERR)
        return ERR
    return os.open(os.devnull, os.O_WRONLY)
