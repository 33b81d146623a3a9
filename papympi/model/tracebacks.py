"""Tracebacks as users read them: from the first line of their own code on, and without papympi's frames.

Of each frame it is asked whether it is papympi's, in an exception and in all that it came of. So it does not matter by
which way a function was called, or what of papympi it has called itself.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final

from papympi.model.attempt import attempt
from papympi.model.telling import LONGEST, clean, tell_error
from papympi.model.users_code import INSTALLED, INTERPRETER, OWN, is_users_file

LONGEST_TRACEBACK: Final = 40_000
"""So many characters of a traceback are kept."""
_MOST_FRAMES: Final = 50
"""So many frames of an exception are shown from its first one on, and up to its last one."""
_SHORT: Final = LONGEST // 10
_HEADER: Final = "Traceback (most recent call last):"
_HEAD: Final = 3
"""So many lines, the header and the first frame, are shown however short the traceback has to be."""
_TESTING: Final = f"{OWN}testing{os.sep}"
_LOADERS: Final = ("<frozen importlib", f"{INTERPRETER}importlib{os.sep}")
_HOLDERS: Final = ("__wrapped__", "func", "function", "__func__")
"""Under these names a decorator, a partial, an adapter, a method hold the function that they call."""


def tell_traceback(error: BaseException, function: Callable[..., Any] | None = None, *, tells_own: bool = False) -> str:
    """Return an exception with its traceback, its causes and its notes, as far as these can be had.

    Args:
        error: the exception.
        function: what was called: its file is the user's, wherever it lies.
        tells_own: where nothing else is left papympi's own frames are shown, as the mistake may be there.
    """
    lines, refusal = attempt(_format, error, function)
    if refusal is not None:
        frames = _pick_frames(attempt(traceback.extract_tb, error.__traceback__)[0] or (), "").format()
        lines = [f"{_HEADER}\n", *frames, tell_error(error), "\n"]
    elif tells_own and not any(_HEADER in line for line in lines):
        lines = attempt(traceback.format_exception, error)[0] or lines
    return _join(lines)


def trace_thread(thread: int | None) -> TracebackType | None:
    """Return where another thread is now, as a traceback that begins where papympi has called."""
    frame = sys._current_frames().get(thread or 0)  # noqa: SLF001 - there is no other way to another thread's frames
    trace: TracebackType | None = None
    while frame is not None:
        trace = TracebackType(trace, frame, frame.f_lasti, frame.f_lineno or 0)
        frame = frame.f_back
    while trace is not None and not is_own_file(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def is_own_file(path: str) -> bool:
    """Return whether a file is papympi's, and none of the functions with which pools are tested."""
    return path.startswith(OWN) and not path.startswith(_TESTING)


def shorten_traceback(text: str, last: int) -> list[str]:
    """Return the last lines of a traceback, and the user's first ones: of the exception, and of what it came of."""
    lines = text.rstrip().splitlines()
    heads = [at for at, line in enumerate(lines) if _HEADER in line]
    kept = {at + number for at in {*heads[:1], *heads[-1:]} for number in range(_HEAD)}
    kept |= {*range(len(lines) - last, len(lines))}
    shown: list[str] = []
    for at, line in enumerate(lines):
        if at in kept:
            shown += [line] if at == 0 or at - 1 in kept else ["...", line]
    return shown


class _Frames(traceback.StackSummary):
    """The frames of one exception; of very many the first and the last ones."""

    def format(self, **options: Any) -> list[str]:
        """Return a text for each frame that is shown."""
        texts = super().format(**options)
        more = len(texts) - 2 * _MOST_FRAMES
        if more <= 0:
            return texts
        return [*texts[:_MOST_FRAMES], f"  ... ({more:,} more frames)\n", *texts[-_MOST_FRAMES:]]


def _format(error: BaseException, function: Callable[..., Any] | None) -> list[str]:
    """Return the lines of an exception and of all that it came of."""
    file = attempt(_find_file, function)[0] or ""
    told = traceback.TracebackException(type(error), error, error.__traceback__, limit=sys.maxsize, compact=True)
    todo = [told]
    for part in todo:  # Python has left out what came up before
        part.stack = _pick_frames(part.stack, file)
        todo += [each for each in (part.__cause__, part.__context__, *(part.exceptions or ())) if each is not None]
    return list(told.format())


def _pick_frames(stack: Iterable[traceback.FrameSummary], file: str) -> _Frames:
    """Return the frames that are not papympi's; where papympi has called, those from the user's first one on."""
    frames = list(stack)
    rest = [frame for frame in frames if not is_own_file(frame.filename)]
    if rest and is_own_file(frames[0].filename):
        wanted: list[Callable[[str], bool]] = [
            lambda path: path == file or is_users_file(path),
            lambda path: any(folder in path for folder in INSTALLED),
            lambda path: not path.startswith(_LOADERS),
        ]
        found = [at for is_wanted in wanted for at, frame in enumerate(rest) if is_wanted(frame.filename)]
        rest = rest[found[0] :] if found else []
    return _Frames(rest)


def _find_file(function: Any) -> str:
    """Return the file of the function that is called in the end."""
    for name in _HOLDERS * 4:
        function = getattr(function, name, function)
    code = getattr(function, "__code__", None) or type(function).__call__.__code__
    return str(code.co_filename)


def _join(lines: list[str]) -> str:
    """Return a traceback as one text of bearable length; long messages go before frames do."""
    if sum(map(len, lines)) > LONGEST_TRACEBACK:
        lines = [clean(line.rstrip("\n"), _SHORT) + "\n" if len(line) > _SHORT else line for line in lines]
    text = "".join(lines)
    if len(text) <= LONGEST_TRACEBACK:
        return clean(text, LONGEST_TRACEBACK)
    half = LONGEST_TRACEBACK // 2
    return f"{clean(text[:half], half)}\n... ({len(text) - 2 * half:,} more characters)\n{clean(text[-half:], half)}"


def strip(error: BaseException) -> BaseException:
    """Return the exception without its tracebacks, which would keep everything alive that their frames saw."""
    attempt(_strip_chain, error)
    return error


def _strip_chain(link: BaseException | None) -> None:
    """Do so with an exception and what it came of, which may come of itself."""
    for _ in range(32):
        if link is None:
            break
        link.__traceback__ = None
        link = link.__context__ if link.__cause__ is None else link.__cause__
