"""What all tests share: the pools that everything runs on, and a look at what is left over."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

POOLS = ("inline", "threads", "processes", "mpi")
"""The pools that a test of the whole runs on; `pool` is the fixture that goes through them."""

# MPI listens on loopback only, whoever starts the tests.
os.environ.setdefault("FI_TCP_IFACE", "lo")
os.environ.setdefault("UCX_NET_DEVICES", "lo")
os.environ.setdefault("OMPI_MCA_btl_tcp_if_include", "lo")


@pytest.fixture(params=POOLS)
def pool(request: pytest.FixtureRequest) -> str:
    """Return the name of a pool; a test that takes it runs once on each."""
    return request.param


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the developer's own shell says to papympi."""
    for variable in [name for name in os.environ if name.startswith("PAPYMPI_")]:
        monkeypatch.delenv(variable)


def _leftovers() -> tuple[set[psutil.Process], set[str], set[str]]:
    """Return our children, our open files and sockets, and the shared memory blocks of this machine."""
    children = set(psutil.Process().children(recursive=True))
    descriptors = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            descriptors.add(f"{entry.name} {entry.readlink()}")
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    blocks = {path.name for path in Path("/dev/shm").iterdir()}
    return children, descriptors, blocks


@pytest.fixture
def nothing_left() -> Iterator[Callable[[], None]]:
    """Fail a test that leaves a process, a descriptor or a shared block; call it to look before the test ends.

    What existed before the test does not count.
    """
    before = _leftovers()

    def look() -> None:
        for old, new, what in zip(before, _leftovers(), ("processes", "descriptors", "shared blocks"), strict=True):
            assert not new - old, f"{what} left: {new - old}"

    yield look
    look()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is the current one; no file with options stands above it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
