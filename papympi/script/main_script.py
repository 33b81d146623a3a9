"""The script that this process runs: whether workers may load it, and which of its sources have changed since."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Final

from papympi.plan.preparation import MainScript
from papympi.script.guard import GuardedScript, read_guarded
from papympi.script.sources import is_own

_MAIN: Final = "__main__"
_TICK_S: Final = 0.02
"""How exactly it is known when this process has begun."""


def find_main() -> MainScript | None:
    """Return the script that this process runs; `None`: workers may not load it.

    It is loaded where its last lines stand under a guard and what runs now was called from there: so everything that is
    not guarded has run here, too, and nothing else. A script that was edited since it began is not loaded.
    """
    main = sys.modules.get(_MAIN)
    path = getattr(main, "__file__", None)
    if main is None or not isinstance(path, str) or not is_own(path) or _is_interactive():
        return None
    try:
        data = Path(path).read_bytes()
    except OSError:
        return None
    guarded = read_guarded(data, path)
    if guarded is None or not _is_past(main, guarded) or is_edited(main, path, data):
        return None
    spec = getattr(main, "__spec__", None)
    unloaded = frozenset(name for name in vars(main) if name not in guarded.loaded) | guarded.guarded
    return MainScript(os.path.abspath(path), data, spec.name if spec is not None else "", unloaded)  # noqa: PTH100 - as Python shows it


def is_edited(module: ModuleType, path: str, data: bytes) -> bool:
    """Return whether a module's file was edited after the module was loaded from it, as far as its functions show."""
    try:
        if Path(path).stat().st_mtime < _find_begin() - _TICK_S:
            return False
        codes = set(_walk_codes([compile(data, path, "exec", dont_inherit=True)]))
    except (OSError, SyntaxError, ValueError):
        return True
    functions = (value for value in vars(module).values() if isinstance(value, FunctionType))
    return any(f.__code__ not in codes for f in functions if f.__code__.co_filename == path)


def _is_interactive() -> bool:
    return hasattr(sys, "ps1") or bool(sys.flags.interactive)


def _is_past(main: ModuleType, guarded: GuardedScript) -> bool:
    """Return whether the main module is at its guard, or at its end."""
    return all(guarded.covers(frame.f_lineno) for frame in _find_frames(main))


def _find_frames(main: ModuleType) -> Iterator[FrameType]:
    """Yield the frames in which the main module itself runs, in this thread or in the main one."""
    frames: list[FrameType | None] = [sys._getframe()]  # noqa: SLF001 - the documented way to the caller's frames
    if threading.current_thread() is not threading.main_thread():
        frames.append(sys._current_frames().get(threading.main_thread().ident or 0))  # noqa: SLF001 - likewise
    for start in frames:
        frame = start
        while frame is not None:
            if frame.f_globals is main.__dict__ and frame.f_code.co_name == "<module>":
                yield frame
            frame = frame.f_back


def _find_begin() -> float:
    """Return when this process has begun, in seconds since the epoch; 0 where that is not to be had."""
    try:
        words = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    since_boot = int(words[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot


def _walk_codes(codes: Iterable[object]) -> Iterator[CodeType]:
    """Yield code objects and those inside them."""
    for code in codes:
        if isinstance(code, CodeType):
            yield code
            yield from _walk_codes(code.co_consts)
