"""A template of children: a process that has loaded the user's script, from which children are forked.

It is a fork of the fork server, which it stands in for until its pool is closed. What the script wants to be called at
the end of the process is called at the template's own end, and not at that of each child: files that it removes are
those of all.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import pickle
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from papympi.model.tracebacks import tell_traceback
from papympi.script.leave import flush_files
from papympi.script.prepare import prepare
from papympi.workers.children.fork_safety import count_threads, find_risk
from papympi.workers.evaluation.attempt import attempt

LOADED: Final = 0
RISKY: Final = 1
FAILED: Final = -1
_EACH: Final = ("logging", "multiprocessing", "concurrent")
"""Packages whose functions are called at the end of each process."""

_at_end: list[Callable[[], Any]] = []


class LoadReport(NamedTuple):
    """How a template has loaded its script.

    Attributes:
        status: LOADED; RISKY: it is loaded, and should not be forked; FAILED.
        threads: how many threads it has beside the main one.
        text: why not.
    """

    status: int
    threads: int = 0
    text: str = ""


def load_script(data: bytes) -> LoadReport:
    """Load what a pickled `Preparation` says."""
    with _exits_kept():
        _, error = attempt(prepare, pickle.loads(data))
    if error is not None:
        return LoadReport(FAILED, text=_describe(error))
    risk = find_risk()
    flush_files()  # or each child would write it once more at its end
    gc.collect()
    gc.freeze()
    return LoadReport(RISKY, text=risk) if risk else LoadReport(LOADED, count_threads())


def call_at_end() -> None:
    """Call what the script has asked for, as the interpreter does: the last first, whatever they raise."""
    while _at_end:
        attempt(_at_end.pop())


def leave_end() -> None:
    """Forget it, in a copy of the template: it is the first one that calls it."""
    _at_end.clear()


@contextlib.contextmanager
def _exits_kept() -> Iterator[None]:
    """Keep for the template what asks for the end of the process while the block lasts."""
    register = atexit.register
    before = {*weakref.finalize._registry}  # type: ignore[attr-defined]  # noqa: SLF001 - there is no other way to its members
    weakref.finalize(register, _exits_kept).detach()  # whatever has a finalizer now registers their end, once

    def keep(function: Callable[..., Any], *args: Any, **options: Any) -> Callable[..., Any]:
        if str(getattr(function, "__module__", "")).startswith(_EACH):
            return register(function, *args, **options)
        _at_end.append(partial(function, *args, **options))
        return function

    atexit.register = keep  # type: ignore[assignment]  # it takes what the other one takes
    try:
        yield
    finally:
        atexit.register = register
        for each in {*weakref.finalize._registry} - before:  # type: ignore[attr-defined]  # noqa: SLF001 - likewise
            if each.atexit:
                each.atexit = False
                _at_end.append(each)


def _describe(error: BaseException) -> str:
    """Return an error with the user's part of its traceback."""
    return tell_traceback(error).rstrip()
