"""Messages arrive whole, in order, whatever their size and however the stream is cut."""

import pickle
import select
import socket
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papympi.transport import frames
from papympi.transport.codec import BIG


@pytest.fixture
def pair():
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def read(reader, count):
    messages = []
    while len(messages) < count:
        messages += reader.read()
    return messages


def exchange(sock_out, sock_in, values):
    """Send values from a thread of their own; return what arrives."""
    thread = threading.Thread(target=lambda: [frames.send(sock_out, value) for value in values])
    thread.start()
    messages = read(frames.FrameReader(sock_in), len(values))
    thread.join()
    return messages


SIZES = st.sampled_from([0, 1, 100, BIG - 1, BIG, 100_000, 131_072, 262_144, 300_000, 1 << 20])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(SIZES, st.lists(SIZES, max_size=3)), max_size=8))
def test_all_sizes_arrive(plans):
    """Messages of all sizes arrive."""
    ours, theirs = socket.socketpair()
    values = [(bytes(size), [np.full(n, i, "u1") for n in sizes]) for i, (size, sizes) in enumerate(plans)]
    with ours, theirs:
        for (size, arrays), (body, copies) in zip(plans, exchange(ours, theirs, values), strict=True):
            assert len(body) == size
            assert [len(copy) for copy in copies] == arrays
        for (_, sent), (_, got) in zip(values, exchange(ours, theirs, values), strict=True):
            assert all((a == b).all() for a, b in zip(sent, got, strict=True))


def test_message_of_many_buffers(pair):
    arrays = [np.full(BIG, i % 256, "u1") for i in range(3000)]
    (copies,) = exchange(*pair, [arrays])
    assert [copy[0] for copy in copies] == [array[0] for array in arrays]


def test_a_stream_cut_anywhere(pair):
    ours, theirs = pair
    data = b"".join(map(bytes, frames.pack([1, "two"]) + frames.pack(np.arange(BIG)) + frames.pack("three")))
    reader = frames.FrameReader(theirs)
    messages = []
    for start in range(0, len(data), 977):
        ours.sendall(data[start : start + 977])
        messages += reader.read()
    messages += read(reader, 3 - len(messages))
    assert (messages[0], messages[1].sum(), messages[2]) == ([1, "two"], sum(range(BIG)), "three")


def test_arrivals_share_no_buffer(pair):
    """What arrives does not share the buffer."""
    ours, theirs = pair
    reader = frames.FrameReader(theirs)
    kept = []
    for i in range(40):
        frames.send(ours, (np.full(BIG, i, "u1"), np.full(100, i, "u1"), bytearray([i])))
        kept += read(reader, 1)
    for i, (big, small, tiny) in enumerate(kept):
        assert set(big) == set(small) == set(tiny) == {i}
        np.add(big, 1, out=big)
        np.add(small, 1, out=small)


def test_the_writer_never_blocks(pair):
    ours, theirs = pair
    writer, reader = frames.FrameWriter(ours), frames.FrameReader(theirs)
    values = [np.full(1 << 20, i, "u1") for i in range(10)]
    for value in values:
        writer.put(value)
    assert not writer.flush()
    messages = []
    while len(messages) < len(values):
        writer.flush()
        select.select([theirs], [], [], 5)
        messages += reader.read()
    assert writer.flush()
    assert all((a == b).all() for a, b in zip(values, messages, strict=True))


def test_reader_does_not_block(pair):
    """The reader does not block where the socket does not."""
    ours, theirs = pair
    theirs.settimeout(0)
    reader = frames.FrameReader(theirs)
    assert reader.read() == []
    frames.send(ours, 1)
    assert read(reader, 1) == [1]


def test_the_end_is_told(pair):
    ours, theirs = pair
    reader = frames.FrameReader(theirs)
    frames.send(ours, "last")
    ours.sendall(b"half")
    ours.close()
    assert read(reader, 1) == ["last"]
    with pytest.raises(EOFError):
        read(reader, 1)


def test_gone_peer_is_an_error(pair):
    """A peer that is gone is an error."""
    ours, theirs = pair
    theirs.close()
    with pytest.raises(OSError, match=r"Broken pipe|reset"):
        frames.send(ours, 1)
    writer = frames.FrameWriter(ours)
    writer.put(1)
    with pytest.raises(OSError, match=r"Broken pipe|reset"):
        writer.flush()


def test_unpicklable_sends_nothing(pair):
    """What cannot be pickled sends nothing."""
    ours, theirs = pair
    writer = frames.FrameWriter(ours)
    with pytest.raises((TypeError, pickle.PicklingError)):
        writer.put(i for i in "x")
    writer.put("fine")
    assert writer.flush()
    assert read(frames.FrameReader(theirs), 1) == ["fine"]
