"""Memory for large values: copies that are nobody else's, whatever their size."""

import numpy as np
import pytest

import papympi
from papympi.transport.heap import KEPT, allocate, copy, map_pages

LARGE = KEPT + 12_345


@pytest.mark.parametrize("size", [0, 1, 100_000, LARGE])
def test_copies_are_their_owners(size):
    """A copy is its owner's, and what is allocated is zero."""
    first = bytearray(b"ab" * (size // 2 + 1))[:size]
    second = copy(memoryview(first))
    assert second == first
    second[:1] = b"x"[:size]
    assert first[:1] == b"a"[:size]
    room = allocate(size)
    assert len(room) == size
    assert not any(room[::1000])
    room[size // 2 :] = first[size // 2 :]


def test_too_much_is_memory_error():
    with pytest.raises(MemoryError, match="a value of"):
        map_pages(1 << 60)


def add_one(array):
    array += 1
    return array


@pytest.mark.parametrize("backend", ["processes", "mpi"])
@pytest.mark.parametrize("shared", [0, "512 MB"])
def test_values_above_allocator(shared, backend):
    """Values larger than what the allocator keeps."""
    graph = papympi.Graph("large")

    @graph.node
    def x():
        yield from (np.arange(number, number + LARGE // 8) for number in range(4))

    graph.node(add_one, inputs={"array": "x"}, pool="workers", stride=1)
    pool = {"backend": backend, "workers": 1, "shared_memory": shared}
    with papympi.run(graph=graph, pools={"workers": pool}) as results:
        for number, value in enumerate(results):
            assert (value == np.arange(number + 1, number + 1 + LARGE // 8)).all()
            value[...] = 0
