"""The relay's end of shared blocks: it hands on what it gets, and puts what was received in place."""

import os
import socket

import pytest

from papympi.transport.arena import LEAST, open_arena
from papympi.transport.lending import ParentAllocator
from papympi.transport.relaying import accept, offer

MB = 1 << 20


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def ends(pair):
    """The parent's allocator and the relay's."""
    arena = open_arena(8 * MB, 1)
    offer(pair[0], arena)
    relay = accept(pair[1])
    yield ParentAllocator(arena, 0), relay
    os.close(relay._descriptor)
    arena.close()


def test_without_an_arena_there_is_none(pair):
    offer(pair[0], None)
    assert accept(pair[1]) is None


def test_a_parent_that_is_gone_is_told(pair):
    pair[0].close()
    with pytest.raises(EOFError):
        accept(pair[1])


def test_it_sees_what_the_parent_put(ends):
    parent, relay = ends
    offset = parent.put(memoryview(b"x" * LEAST))
    assert bytes(relay.get(offset, LEAST)) == b"x" * LEAST


def test_the_parent_sees_what_it_put(ends):
    parent, relay = ends
    offset = relay.put(memoryview(b"y" * LEAST))
    assert bytes(parent.get(offset, LEAST)) == b"y" * LEAST


def test_received_bytes_stay_in_place(ends):
    parent, relay = ends
    room = relay.take_room(LEAST)
    offset = relay.put(room)
    room[:4] = b"late"
    assert bytes(parent.get(offset, LEAST)[:4]) == b"late"


def test_handed_on_blocks_are_returned(ends):
    parent, relay = ends
    offset = parent.put(memoryview(bytes(LEAST)))
    view = relay.get(offset, LEAST)
    assert relay.returned == []
    del view
    assert relay.returned == [offset]


def test_room_ends_and_comes_back(ends):
    _, relay = ends
    offset = relay.put(memoryview(bytes(3 * MB)))
    assert relay.take_room(3 * MB) is None
    relay.give([offset])
    assert relay.take_room(3 * MB) is not None


def test_the_two_parts_do_not_overlap(ends):
    parent, relay = ends
    parent.put(memoryview(b"p" * 3 * MB))
    offset = relay.put(memoryview(b"r" * 3 * MB))
    assert bytes(parent.held[0][:1]) == b"p"
    assert bytes(parent.get(offset, 3 * MB)[:1]) == b"r"
