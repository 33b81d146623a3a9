"""Arrays that are files are mapped again: they are not copied, and nothing is lost of how they were seen."""

import pickle

import numpy as np
import pytest

from papympi.errors import ShippingError
from papympi.transport.payload import decode, encode
from papympi.transport.pickling import Reducer
from tests.transport.test_pickling import send


@pytest.fixture
def path(tmp_path):
    np.arange(1000.0).tofile(tmp_path / "data")
    return tmp_path / "data"


def copy(value):
    return pickle.loads(send(value, Reducer(frozenset())))


VIEWS = [
    lambda array: array,
    lambda array: array[5:100:3],
    lambda array: array[::-1],
    lambda array: array.reshape(10, 100).T,
    lambda array: array.reshape(10, 100)[2:, ::7],
    lambda array: array.view("i4")[3:],
    lambda array: np.asarray(array)[7:],
    lambda array: array[:0],
]


@pytest.mark.parametrize("view", VIEWS)
def test_views_are_mapped_again(path, view):
    array = view(np.memmap(path, "f8", "r"))
    there = copy(array)
    assert len(send(array, Reducer(frozenset()))) < 1000
    assert type(there) is type(array)
    assert (there.dtype, there.strides, there.flags.writeable) == (array.dtype, array.strides, False)
    assert np.array_equal(there, array)


@pytest.mark.parametrize("offset", [8, 800, 4104])
def test_a_map_may_begin_anywhere(path, offset):
    array = np.memmap(path, "f8", "r", offset)
    there = copy(array[3:])
    assert np.array_equal(there, array[3:])
    assert there.filename == array.filename


def test_formats_of_numpy(tmp_path):
    np.save(tmp_path / "a.npy", np.asfortranarray(np.arange(12.0).reshape(3, 4)))
    array = np.load(tmp_path / "a.npy", mmap_mode="r")
    there = copy(array)
    assert there.flags.f_contiguous
    assert np.array_equal(there, array)


def test_what_is_written_is_in_the_file(path):
    array = np.memmap(path, "f8", "r+")
    there = copy(array[10:])
    there[0] = 77
    assert array[10] == 77


def test_a_new_file_is_not_emptied(tmp_path):
    array = np.memmap(tmp_path / "new", "i4", "w+", shape=(4,))
    array[:] = 5
    assert copy(array).tolist() == [5, 5, 5, 5]


def test_views_may_be_protected(path):
    array = np.memmap(path, "f8", "r+")[5:]
    array.flags.writeable = False
    assert not copy(array).flags.writeable


def test_copy_on_write_is_refused(path):
    array = np.memmap(path, "f8", "c")
    with pytest.raises(ShippingError, match="copy-on-write map of .*data.*; map it in mode 'r'"):
        copy({"deep": array[1:]})


def test_one_file_stays_one(path):
    array = np.memmap(path, "f8", "r")
    there, again = copy((array, array))
    assert there is again


def test_ordinary_arrays_are_copied(path):
    array = np.memmap(path, "f8", "r") * 2
    assert len(send(np.array(array), Reducer(frozenset()))) > 8000


def test_items_are_copied(path):
    """An item is what it is now, whatever becomes of the file."""
    array = np.memmap(path, "f8", "r+")
    there, with_lambda = decode(encode([array[:10]]))[0], decode(encode([(array[:10], lambda: 1)]))[0][0]
    array[0] = 5
    assert (there[0], with_lambda[0]) == (0, 0)
