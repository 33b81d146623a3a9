"""Bitmaps: `FULL` and the spelled-out bitmap of the same positions mean the same everywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papympi.transport.bitmap import FULL, clip_bitmap, is_valid, normalized, ones, spell_out

BITS = st.lists(st.booleans(), max_size=100)


def join(bits):
    return sum(1 << i for i, bit in enumerate(bits) if bit)


def test_ones_of_zero_is_empty():
    assert ones(0) == 0


def test_ones_sets_the_lowest_bits():
    assert ones(3) == 0b111


def test_full_has_every_bit():
    assert all(is_valid(FULL, index) for index in (0, 1, 64, 1000))


@pytest.mark.parametrize(("bitmap", "index", "valid"), [(0b101, 0, True), (0b101, 1, False), (0b101, 9, False)])
def test_a_bit_is_valid_if_set(bitmap, index, valid):
    assert is_valid(bitmap, index) is valid


def test_all_bits_become_full():
    assert normalized(0b111, 3) == FULL


def test_a_hole_keeps_a_bitmap():
    assert normalized(0b101, 3) == 0b101


def test_bits_beyond_count_are_kept():
    assert normalized(0b1111, 3) == 0b1111


def test_nothing_missing_of_none_is_full():
    assert normalized(0, 0) == FULL


def test_full_stays_full_when_clipped():
    assert clip_bitmap(FULL, 5, 9) == FULL


def test_an_empty_clip_is_empty():
    assert clip_bitmap(0b1011, 2, 2) == 0


@given(BITS, st.data())
def test_clip_is_a_slice(bits, data):
    start = data.draw(st.integers(0, len(bits)))
    stop = data.draw(st.integers(start, len(bits)))
    assert clip_bitmap(join(bits), start, stop) == join(bits[start:stop])


@given(BITS)
def test_spelling_out_undoes_normalized(bits):
    assert spell_out(normalized(join(bits), len(bits)), len(bits)) == join(bits)
