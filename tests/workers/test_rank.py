"""Messages between ranks: order, sizes, pieces."""

import textwrap
import time

import psutil
import pytest

from papympi.transport.payload import Payload
from papympi.workers.blocks import find_blocks
from papympi.workers.rank import count_crowds
from papympi.workers.wire import Nap, decode, encode

PING = """
    import pickle, random, sys
    from mpi4py import MPI
    from papympi.workers import wire

    wire._PIECE = 300_000  # many pieces for little memory
    comm = MPI.COMM_WORLD.Dup()
    line = wire.Wire(comm)
    rooms = []
    if comm.rank == 1:  # half of the big parts find room elsewhere
        line.take_room = lambda size: rooms.append(bytearray(size)) or memoryview(rooms[-1]) if size % 2 else None
    rng = random.Random(7)
    sizes = [0, 1, 4095, 4096, 16383, 16384, 65535, 65536, 300_000, 600_001, 2_000_000]

    def make(number):
        return number, [pickle.PickleBuffer(bytes([number % 251]) * rng.choice(sizes)) for _ in range(number % 5)]

    if comm.rank == 0:
        for number in range(200):
            for rank in range(1, comm.size):
                line.send(rank, wire.encode(make(number)))
        waiting = {rank: 0 for rank in range(1, comm.size)}
        while any(count < 200 for count in waiting.values()):
            line.progress()
            for rank, parts in line.receive():
                number, buffers = wire.decode(parts)
                assert number == waiting[rank], (rank, number, waiting)
                assert all(bytes(b) == bytes([number % 251]) * len(memoryview(b)) for b in buffers)
                waiting[rank] += 1
        print("all came in order")
    else:
        count = 0
        while count < 200:
            line.progress()
            for rank, parts in line.receive():
                line.send(0, parts)
                count += 1
        assert comm.rank != 1 or any(room[-1] for room in rooms)
    line.drain()
    assert not line.busy
    comm.Barrier()  # as World.leave does
    comm.Free()
"""


@pytest.mark.timeout(120)
def test_messages_whole_in_order(mpi, tmp_path):
    """Messages of all sizes come whole and in order."""
    script = tmp_path / "ping.py"
    script.write_text(textwrap.dedent(PING))
    done = mpi.run(4, "python", script, timeout=100)
    assert (done.returncode, done.stdout) == (0, "all came in order\n"), done.stderr


def test_big_buffers_not_copied():
    data = bytearray(1 << 20)
    payload = Payload([data], coded=(b"body", (memoryview(data),)), count=1)
    parts = encode((1, payload))
    assert [len(part) for part in parts[1:]] == [1 << 20]
    data[0] = 7
    assert parts[1][0] == 7
    assert decode(parts)[1].encode()[1][0][0] == 7


def first_nap(nap):
    return next(length for length in iter(nap.next, None) if length)


def test_crowded_ranks_nap_longer():
    """Ranks that share a processor nap longer."""
    alone, few, many = (first_nap(Nap(crowd)) for crowd in (1, 3, 64))
    assert alone == few < many / 10


def test_crowds_count_processors():
    """Ranks share the processors that those of their host may use."""
    bound = [("a", frozenset({number})) for number in range(4)]
    crowded = [("b", frozenset({0, 1}))] * 6
    assert count_crowds(bound + crowded) == [1.0] * 4 + [3.0] * 6


def test_naps_grow_and_reset():
    """Naps grow and begin anew."""
    nap = Nap()
    assert nap.next() == 0
    lengths = []
    while len(lengths) < 12:
        length = nap.next()
        if length:
            lengths.append(length)
    assert lengths == sorted(lengths)
    assert lengths[-1] == 2e-3
    nap.reset()
    assert nap.next() == 0


def test_hanging_start_ends(mpich, tmp_path):
    """A start that hangs comes to an end."""
    (tmp_path / "hang.py").write_text(
        "import os, time\nfrom papympi.workers import rank\n\n"
        "if os.environ['PMI_RANK'] == '1':\n    time.sleep(1000)\n"
        "rank.START_S = 1\nrank.attach(2)\n"
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
