"""CPUs and memory of this host: sizes as users write them, and what there is."""

import pytest

from papympi.errors import OptionError
from papympi.workers.host import count_memory, format_memory, parse_memory, parse_size, tell_end


@pytest.mark.parametrize(
    ("said", "size"), [(7, 7), ("7", 7), ("2 GB", 2 * 10**9), ("512MiB", 512 << 20), ("1.5k", 1500), ("3 b", 3)]
)
def test_sizes(said, size):
    assert parse_size(said) == size


@pytest.mark.parametrize("said", [True, -1, "much", "2 XB", 1.5, None])
def test_no_sizes(said):
    with pytest.raises(OptionError, match="is not a number of bytes"):
        parse_size(said)


def test_a_worker_needs_some_memory():
    assert parse_memory("pool", None) == 0
    with pytest.raises(OptionError, match="needs at least 64 MiB"):
        parse_memory("pool", "1 MB")


def test_memory_is_told_in_the_unit_that_suits_it():
    assert [format_memory(size) for size in (12, 2000, 3_500_000, 2 * 10**9)] == ["12 bytes", "2 kB", "3.5 MB", "2 GB"]


def test_an_end_is_told_with_its_signal():
    assert tell_end(3, 0) == "exit code 3"
    assert "memory limit is 2 GB" in tell_end(-9, 2 * 10**9)
    assert tell_end(-15, 0) == "SIGTERM"


def test_what_there_is():
    assert count_memory() > 0
