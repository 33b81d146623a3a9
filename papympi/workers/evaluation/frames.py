"""Tracebacks without what is of no interest to users. It stands alone as setups are told like failures are."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Final

from papympi.model.attempt import ATTEMPT, attempt

_OURS: Final = (str(Path(__file__).parent), ATTEMPT)
"""Where the machinery is that calls the user's functions."""


def skip_own_frames(error: BaseException) -> TracebackType | None:
    """Return the traceback without the frames of the machinery that called the user's function."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return trace


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
