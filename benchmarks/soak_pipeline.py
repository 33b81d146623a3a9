"""Five nodes whose items raise, kill their worker and hang, by their number: what `soak.py` runs."""

from __future__ import annotations

import os
import signal
import time

from papympi import node

RAISES, KILLS, HANGS = 1_000, 20_000, 20_000


@node(pool="mpi", stride=64)
def checked(number):
    """Raise for one item in a thousand."""
    if number % RAISES == 7:
        raise ValueError(f"bad item {number}")
    return number


@node(pool="mpi", stride=32, fuse=False)
def risky(checked):
    """Kill the worker for one item in twenty thousand."""
    if checked % KILLS == 11:
        os.kill(os.getpid(), signal.SIGKILL)
    return 3 * checked


@node(pool="mpi", stride=32, timeout=1, fuse=False)
def patient(risky):
    """Hang for one item in twenty thousand."""
    if risky % (3 * HANGS) == 39:
        time.sleep(3600)
    return risky + 1


@node(pool="mpi", stride=64, fuse=False)
def joined(number, patient):
    """Join an item with what was made of it."""
    return patient - 2 * number


@node(pool="mpi", stride=8, gather=10, on_error="drop")
def summed(joined):
    """Add up groups of ten that did not fail."""
    return sum(joined)
