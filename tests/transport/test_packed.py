"""Constants of functions: on each host once, and nevertheless each worker's own."""

import itertools
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import papympi
from papympi import Graph
from papympi.errors import ShippingError
from papympi.transport.packed import Packed, map_packed

MB = 1 << 20
WORKERS = 4
CHILDREN = [
    {"backend": "processes", "workers": WORKERS},
    {"backend": "mpi", "workers": 2, "workers_per_rank": WORKERS // 2},
]
OWN = {"backend": "mpi", "workers": WORKERS, "isolate": False}


def start(function, values, pool, **options):
    """The results of a function in a pool, as long as somebody asks for them."""
    graph = Graph("constants")

    @graph.node
    def x():
        yield from values

    graph.node(function, name="f", inputs={"x": "x"}, pool="workers", stride=1)
    return papympi.run(graph=graph, pools={"workers": pool}, **options)


def weigh(pids):
    """How many bytes of memory some processes take, a page that n of them share counted as 1/n."""
    rolled = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(1024 * int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1]) for text in rolled)


def reader(constant):
    def read(x):
        time.sleep(0.002)
        return os.getpid(), int(constant[::512].sum())

    return read


def weigh_workers(constant, pool):
    """How many bytes the workers take that have read a constant."""
    with start(reader(constant), itertools.count(), pool) as results:
        pids = set()
        while len(pids) < WORKERS:
            pid, found = next(results)
            assert found == constant[::512].sum()
            pids.add(pid)
        return weigh(pids)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("pool", [*CHILDREN, OWN], ids=["processes", "children of ranks", "ranks"])
def test_big_constant_is_there_once(pool):
    """A big constant takes its memory once."""
    size = 64 * MB
    without = weigh_workers(np.arange(512), pool)
    added = weigh_workers(np.arange(size // 8), pool) - without
    assert 0.9 * size < added < 1.5 * size


@pytest.mark.parametrize("pool", [*CHILDREN, OWN])
def test_worker_owns_its_constant(pool):
    """What a worker writes into its constant is its own."""
    constant = np.zeros(MB, "i8")

    def count(x):
        constant[:] += 1
        time.sleep(0.002)
        return os.getpid(), int(constant[0]), int(constant[-1])

    calls = {}
    with start(count, range(80), pool) as results:
        for pid, first, last in results:
            calls[pid] = calls.get(pid, 0) + 1
            assert (first, last) == (calls[pid], calls[pid])
    assert len(calls) > 1
    assert not constant.any()


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("pool", CHILDREN, ids=lambda pool: pool["backend"])
def test_replacement_starts_fresh(pool):
    """Replaced workers find the constant as it was at the start."""
    constant = np.full(MB, 7)

    def die(x):
        if x % 4 == 1:
            constant[:] = 0
            os.kill(os.getpid(), signal.SIGKILL)
        return int(constant.sum())

    with start(die, range(40), pool, errors="keep") as results:
        for x, found in enumerate(results):
            constant[:] = x
            assert isinstance(found, papympi.Failure) if x % 4 == 1 else found == 7 * MB


def test_flags_and_aliases_stay():
    """It stays writable or not, and what is bound to it is the same."""

    class Model:
        def __init__(self):
            self.weights = np.arange(100_000.0)
            self.fixed = np.arange(100_000.0).reshape(100, 1000).T
            self.fixed.flags.writeable = False
            self.same = self.weights

        def __call__(self, x):
            flags = [array.flags for array in (self.weights, self.fixed)]
            self.weights[0] = x
            where = self.weights.ctypes.data % 64
            return [flag.writeable for flag in flags], flags[1].f_contiguous, self.same[0], where

    with start(Model(), range(3), CHILDREN[0]) as results:
        assert list(results) == [([True, False], True, x, 0) for x in range(3)]


def test_limit_counts_constants():
    """The memory limit of a worker counts its constants in full."""
    constant = np.ones(64 * MB, "u1")
    limited = {"backend": "processes", "workers": 1, "memory": "300 MB"}

    def take(x):
        return len(bytearray(x * MB)) + int(constant[0]) - 1

    with start(take, [100, 400, 100], limited, errors="keep") as results:
        fits, fails, again = results
    assert (fits, again) == (100 * MB, 100 * MB)
    assert isinstance(fails.error, MemoryError)
    with pytest.raises(ShippingError, match="memory"):
        list(start(take, [1], {**limited, "memory": "66 MiB"}))


def test_same_without_memory_file():
    """Without a memory file it is the same."""
    program = """
        import resource
        import numpy as np
        import papympi
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        constant = np.arange(1 << 20)
        def look(x):
            constant[x] += 1
            return int(constant[x])
        results = papympi.map(look, range(6))
        found = [next(results)]
        constant[:] = 0
        print(found + list(results))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[1, 2, 3, 4, 5, 6]"), done.stderr


@pytest.mark.parametrize("isolate", [True, False])
def test_lone_rank_owns_constants(mpich, isolate, tmp_path):
    """A lone rank has constants of its own."""
    script = tmp_path / "lone.py"
    program = f"""
        import numpy as np
        import papympi
        @papympi.node
        def x():
            yield from range(3)
        def make():
            constant = np.zeros(1 << 17)
            @papympi.node(pool="mpi")
            def count(x):
                constant[:] += 1
                return int(constant[x])
            return constant
        constant = make()
        with papympi.run(pools={{"mpi": {{"backend": "mpi", "isolate": {isolate}}}}}) as results:
            print(list(results), constant.any())
    """
    script.write_text(textwrap.dedent(program))
    done = mpich.run(1, "python", script)
    assert done.stdout == "[1, 2, 3] False\n", done.stderr


@pytest.mark.usefixtures("nothing_left")
def test_parts_of_any_size():
    """A file holds parts of any size."""
    parts = [os.urandom(size) for size in (100_001, 0, 16, 70_000)]
    stored = Packed(parts[0], parts[1:]).store()
    found = map_packed(os.dup(stored.file))
    stored.close()
    assert [bytes(part) for part in (found.body, *found.buffers)] == parts


def test_what_is_small_is_copied():
    buffer = bytearray(b"constant")
    stored = Packed(b"body", [buffer]).store()
    buffer[:] = b"changed!"
    assert (stored.file, bytes(stored.buffers[0])) == (None, b"constant")
