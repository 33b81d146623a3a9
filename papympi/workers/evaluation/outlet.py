"""Where lines of node functions end up in the runner's process: standard error, or a display that is drawn there."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

_displays: list[Callable[[str], object]] = []
"""Those that want the lines, the latest last."""


def put(text: str) -> None:
    """Write some lines, which may be many in one text, without the last end of line."""
    if _displays:
        _displays[-1](text)
    else:
        write(f"{text}\n")


def write(text: str) -> None:
    """Write text as it is, at once; nobody listening is no error."""
    stream = getattr(sys.stderr, "papympi_original", sys.stderr)
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            stream.write(text)
            stream.flush()


@contextlib.contextmanager
def shown_by(display: Callable[[str], object]) -> Iterator[None]:
    """Let `display` have the lines while the block lasts."""
    _displays.append(display)
    try:
        yield
    finally:
        _displays.remove(display)
