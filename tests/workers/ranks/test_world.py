"""The ranks of a job: how they start, and how many share a processor."""

import time

import psutil

from papympi.workers.children.mpi_blocks import find_blocks
from papympi.workers.ranks.world import count_crowds


def test_crowds_count_processors():
    """Ranks share the processors that those of their host may use."""
    bound = [("a", frozenset({number})) for number in range(4)]
    crowded = [("b", frozenset({0, 1}))] * 6
    assert count_crowds(bound + crowded) == [1.0] * 4 + [3.0] * 6


def test_hanging_start_ends(mpich, tmp_path):
    """A start that hangs comes to an end."""
    (tmp_path / "hang.py").write_text(
        "import os, time\nfrom papympi.workers.ranks import world\n\n"
        "if os.environ['PMI_RANK'] == '1':\n    time.sleep(1000)\n"
        "world.START_S = 1\nworld.attach(2)\n"
    )
    process = mpich.start(2, "python", tmp_path / "hang.py")
    blocks = set()
    while process.poll() is None:
        for rank in psutil.Process().children(recursive=True):
            blocks |= find_blocks(rank.pid)
        time.sleep(0.05)
    for block in blocks:  # MPI leaves them behind when it is ended in its start
        block.unlink(missing_ok=True)
    assert process.returncode != 0
    assert "in attach" in process.communicate()[1]
