"""The shared blocks of MPI libraries; `tests/pools/test_mpi.py` shows that none is left."""

import os

from papympi.workers.blocks import find_blocks


def test_no_mpi_no_blocks():
    """A process without MPI has no blocks."""
    assert find_blocks(os.getpid()) == set()
    assert find_blocks(0) == set()
