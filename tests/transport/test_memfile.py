"""Mapped shared memory: what is put is there, what is lent is found again, and its offset comes back."""

import ctypes
import os

import pytest

from papympi.transport.memfile import NONE, ArenaPart, Memory, drain, find_owner, make_private
from papympi.transport.regions import PAGE


@pytest.fixture
def memory():
    descriptor = os.memfd_create("papympi-test")
    os.ftruncate(descriptor, 8 * PAGE)
    memory = Memory(descriptor)
    memory.use_part(ArenaPart(0, 8 * PAGE, []))
    yield memory
    os.close(descriptor)


def test_before_it_has_a_part_nothing_fits():
    descriptor = os.memfd_create("papympi-test")
    os.ftruncate(descriptor, PAGE)
    assert Memory(descriptor).take(1) == NONE
    os.close(descriptor)


def test_what_is_put_is_there(memory):
    offset = memory.put(memoryview(b"hello"))
    assert bytes(memory.view[offset : offset + 5]) == b"hello"


def test_blocks_begin_pages(memory):
    assert [memory.take(1), memory.take(PAGE + 1), memory.take(1)] == [0, PAGE, 3 * PAGE]


def test_a_full_part_has_no_room(memory):
    memory.take(7 * PAGE)
    assert memory.put(memoryview(bytes(PAGE + 1))) == NONE


def test_a_free_block_is_used_again(memory):
    offset = memory.take(8 * PAGE)
    memory.give([offset])
    assert memory.take(8 * PAGE) == offset


def test_a_part_is_not_left(memory):
    memory.use_part(ArenaPart(2 * PAGE, 4 * PAGE, []))
    assert [memory.take(PAGE) for _ in range(3)] == [2 * PAGE, 3 * PAGE, NONE]


def test_used_blocks_are_not_taken(memory):
    memory.use_part(ArenaPart(0, 2 * PAGE, [(0, 10)]))
    assert [memory.take(PAGE), memory.take(PAGE)] == [PAGE, NONE]


def test_a_lent_view_is_located(memory):
    offset = memory.take(100)
    assert memory.locate(memory.lend(offset, 100, None)) == offset


def test_part_of_a_view_is_not_located(memory):
    view = memory.lend(memory.take(100), 100, None)
    assert memory.locate(view[1:]) == NONE


def test_other_memory_is_not_located(memory):
    assert memory.locate(memoryview(b"elsewhere")) == NONE
    assert memory.locate(memoryview((ctypes.c_char * 9)())) == NONE


def test_the_last_view_returns_the_offset(memory):
    returned = []
    view = memory.lend(PAGE, 10, returned)
    part = view[:2]
    del view
    assert returned == []
    del part
    assert returned == [PAGE]


def test_views_are_shared_memory(memory):
    view = memory.lend(PAGE, 5, None)
    view[:] = b"hello"
    assert bytes(memory.view[PAGE : PAGE + 5]) == b"hello"


def test_a_block_knows_its_allocator(memory):
    assert find_owner(memory.lend(0, 10, None, "me")).allocator == "me"


def test_drain_empties_a_list():
    offsets = [1, 2]
    assert drain(offsets) == [1, 2]
    assert offsets == []


def test_the_owner_is_behind_all_views():
    data = bytearray(8)
    assert find_owner(memoryview(memoryview(data)[2:])) is data


def test_a_private_block_keeps_its_contents(memory):
    view = memory.lend(PAGE, 5, None)
    view[:] = b"hello"
    assert make_private(find_owner(view))
    assert bytes(view) == b"hello"


def test_a_private_block_is_not_shared(memory):
    view = memory.lend(PAGE, 5, None)
    view[:] = b"first"
    make_private(find_owner(view))
    view[:] = b"later"
    assert os.pread(memory._descriptor, 5, PAGE) == b"first"
