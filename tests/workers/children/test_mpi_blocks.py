"""The shared blocks of MPI libraries; `tests/pools/test_mpi.py` shows that none is left."""

import mmap
import os
import time
from pathlib import Path

import pytest

from papympi.workers.children.mpi_blocks import drop_abandoned, find_blocks


def test_no_mpi_no_blocks():
    """A process without MPI has no blocks."""
    assert find_blocks(os.getpid()) == set()
    assert find_blocks(0) == set()


@pytest.fixture
def make_block():
    """Return a function that makes what looks like a block of MPICH, of some age in seconds."""
    made = []

    def make(age):
        path = Path(f"/dev/shm/mpich_shm_test_{os.getpid()}_{len(made)}")
        path.write_bytes(bytes(mmap.PAGESIZE))
        os.utime(path, (time.time() - age,) * 2)
        made.append(path)
        return path

    yield make
    for path in made:
        path.unlink(missing_ok=True)


def test_abandoned_blocks_are_dropped(make_block):
    """A job that is killed while MPI starts cannot remove its block; the next one does, and no other's."""
    abandoned, starting, mapped = make_block(1000), make_block(1), make_block(1000)
    with mapped.open("r+b") as file, mmap.mmap(file.fileno(), 0):
        drop_abandoned()
    assert [path.exists() for path in (abandoned, starting, mapped)] == [False, True, True]
