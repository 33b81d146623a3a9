"""Messages between ranks: order, sizes, pieces."""

import os
import textwrap

import pytest

from papympi.transport.payload import Payload
from papympi.transport.sealed import decode, encode

PING = """
    import pickle, random, sys
    from mpi4py import MPI
    from papympi.transport import sealed
    from papympi.workers.ranks import wire

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
                line.send(rank, sealed.encode(make(number)))
        waiting = {rank: 0 for rank in range(1, comm.size)}
        while any(count < 200 for count in waiting.values()):
            line.progress()
            for rank, parts in line.receive():
                number, buffers = sealed.decode(parts)
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
    line.free()
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


@pytest.mark.timeout(120)
def test_order_is_not_left_to_mpi(mpich, tmp_path):
    """Libfabric's provider `sockets` changes the order of messages; each was received as the one before it."""
    script = tmp_path / "ping.py"
    script.write_text(textwrap.dedent(PING))
    hosts = ("-launcher", "fork", "-hosts", "localhost,127.0.0.1", "-ppn", "2", "-n", "4")
    environment = {**os.environ, "MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "sockets"}
    done = mpich.run(0, "mpiexec", *hosts, mpich.bin / "python", script, timeout=100, env=environment)
    assert (done.returncode, done.stdout) == (0, "all came in order\n"), done.stderr
