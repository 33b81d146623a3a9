"""Loads a program in a worker process: its functions first, then the settings that hold for them.

A file of its own, as whoever starts workers calls it: children, ranks that evaluate, and executors' processes.
"""

from __future__ import annotations

from papympi.plan.program import Program
from papympi.script.prepare import prepare
from papympi.script.state import apply_state
from papympi.transport.packed import Packed
from papympi.transport.unpack import unpack_program
from papympi.workers.evaluation.capture import is_runner


def load_program(packed: Packed) -> Program:
    """Return a program, ready to be called in this thread.

    In the runner itself, which may be a worker, too, only what belongs to the thread is set.

    Raises:
        ShippingError: a setting is impossible on this host.
    """
    program = unpack_program(packed, prepare)
    apply_state(program, whole=not is_runner())
    return program
