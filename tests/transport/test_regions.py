"""Blocks of a region never overlap, and what is given back can be taken again."""

from hypothesis import given
from hypothesis import strategies as st

from papympi.transport.regions import Region

START, STOP = 8192, 8192 + 64 * 4096


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 20_000)), max_size=60))
def test_blocks_do_not_overlap(steps):
    """Blocks do not overlap and come back."""
    region, taken = Region(START, STOP), {}
    for takes, size in steps:
        if takes and (offset := region.take(size)) is not None:
            assert offset >= START
            assert offset + size <= STOP
            assert all(offset + size <= other or other + length <= offset for other, length in taken.items())
            taken[offset] = size
        elif not takes and taken:
            offset = sorted(taken)[size % len(taken)]
            del taken[offset]
            region.give(offset)
    again = Region(START, STOP, taken.items())
    for offset in taken:
        region.give(offset)
        again.give(offset)
    assert region.take(STOP - START) == again.take(STOP - START) == START


def test_used_is_used_again():
    """What was used is used again."""
    region = Region(0, STOP)
    first = region.take(5000)
    assert region.take(5000) > first
    region.give(first)
    assert region.take(8192) == first


def test_full_region_gives_nothing():
    region = Region(0, 8192)
    assert region.take(8193) is None
    assert region.take(8192) == 0
    assert region.take(1) is None
