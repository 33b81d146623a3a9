"""Frameworks of pipelines and task graphs, on this host alone: no dashboards, loopback only, two workers.

Where a framework makes no batches of its own it is given lists of items, and functions that take lists: what its users
do by hand. Each is a context manager that yields what computes a shape.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from benchmarks.functions import CHAINS, DIAMOND, Each, add, cut, double, increment, negate
from benchmarks.peers import Shaped

Spread = Callable[..., list[Any]]
"""Submits a function for the rows of some columns of values or promises; returns promises."""


def shape_promises(spread: Spread, collect: Callable[[list[Any]], Iterable[list[int]]]) -> Shaped:
    """Return what computes a shape where the promise of a result can be an argument."""

    def compute(shape: str, items: Iterable[int], stride: int) -> Iterable[Any]:
        batches = list(cut(items, stride))
        if shape == DIAMOND:
            middle = spread(Each(increment), batches)
            done = spread(Each(add), spread(Each(double), middle), spread(Each(negate), middle))
            return chain.from_iterable(collect(done))
        column: list[Any] = batches
        for function in CHAINS[shape]:
            column = spread(Each(function), column)
        return chain.from_iterable(collect(column))

    return compute


@contextmanager
def open_dask(workers: int) -> Iterator[Shaped]:
    """Dask, `distributed`."""
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    settings = {"host": "127.0.0.1", "dashboard_address": None, "worker_dashboard_address": None}
    cluster = LocalCluster(n_workers=workers, threads_per_worker=1, silence_logs=logging.CRITICAL, **settings)
    with cluster, Client(cluster) as client:
        yield shape_promises(lambda function, *columns: client.map(function, *columns, pure=False), client.gather)


@contextmanager
def open_ray(workers: int) -> Iterator[Shaped]:
    """Ray."""
    import ray

    ray.init(
        num_cpus=workers,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=10**8,
        _node_ip_address="127.0.0.1",
        _temp_dir=os.environ["TMPDIR"],
    )

    def spread(function: Callable[..., Any], *columns: list[Any]) -> list[Any]:
        def call(*batches: list[Any]) -> list[Any]:
            return function(*batches)

        remote = ray.remote(call).remote
        return [remote(*row) for row in zip(*columns, strict=True)]

    yield shape_promises(spread, ray.get)
    ray.shutdown()


@contextmanager
def open_parsl(workers: int) -> Iterator[Shaped]:
    """Parsl, with its high-throughput executor."""
    import parsl
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.providers import LocalProvider

    executor = HighThroughputExecutor(
        address="127.0.0.1",
        loopback_address="127.0.0.1",
        max_workers_per_node=workers,
        cores_per_worker=1e-6,
        encrypted=False,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
    )
    with parsl.load(Config(executors=[executor], run_dir=os.environ["TMPDIR"], usage_tracking=0)):
        apps: dict[str, Any] = {}

        def spread(function: Callable[..., Any], *columns: list[Any]) -> list[Any]:
            app = apps.setdefault(function.__name__, parsl.python_app(function.__call__))
            return [app(*row) for row in zip(*columns, strict=True)]

        yield shape_promises(spread, lambda promises: [promise.result() for promise in promises])


@contextmanager
def open_executorlib(workers: int) -> Iterator[Shaped]:
    """executorlib, with workers that stay."""
    from executorlib import SingleNodeExecutor

    with SingleNodeExecutor(max_workers=workers, block_allocation=True, hostname_localhost=True) as executor:

        def spread(function: Callable[..., Any], *columns: list[Any]) -> list[Any]:
            return [executor.submit(function, *row) for row in zip(*columns, strict=True)]

        yield shape_promises(spread, lambda promises: [promise.result() for promise in promises])


@contextmanager
def open_pypeln(workers: int) -> Iterator[Shaped]:
    """pypeln, whose stages have processes of their own."""
    import pypeln

    def compute(shape: str, items: Iterable[int], stride: int) -> Iterable[Any]:
        stage: Any = list(cut(items, stride))
        for function in chain_of(shape):
            stage = pypeln.process.map(Each(function), stage, workers=workers, maxsize=16)
        return chain.from_iterable(pypeln.process.ordered(stage))

    yield compute


@contextmanager
def open_pyper(workers: int) -> Iterator[Shaped]:
    """pyper, whose tasks have processes of their own; it knows no order, so results are sorted."""
    from pyper import task

    def compute(shape: str, items: Iterable[int], stride: int) -> Iterable[Any]:
        batches = list(enumerate(cut(items, stride)))
        pipeline = task(lambda: iter(batches), branch=True)
        for function in chain_of(shape):
            pipeline |= task(Numbered(Each(function)), workers=workers, multiprocess=True)
        return chain.from_iterable(batch for _, batch in sorted(pipeline()))

    yield compute


class Numbered:
    """Hands on the number of a batch."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, numbered: tuple[int, list[Any]]) -> tuple[int, list[Any]]:
        return numbered[0], self.function(numbered[1])


@contextmanager
def open_pipefunc(workers: int) -> Iterator[Shaped]:
    """pipefunc, on the standard library's processes."""
    from concurrent.futures import ProcessPoolExecutor

    from pipefunc import PipeFunc, Pipeline

    edges = {
        DIAMOND: [
            (increment, "a", {"number": "x"}),
            (double, "b", {"number": "a"}),
            (negate, "c", {"number": "a"}),
            (add, "y", {"left": "b", "right": "c"}),
        ]
    }
    for shape, functions in CHAINS.items():
        names = ["x", *"ab"[: len(functions) - 1], "y"]
        edges[shape] = [(each, names[i + 1], {"number": names[i]}) for i, each in enumerate(functions)]

    def compute(shape: str, items: Iterable[int], stride: int) -> Iterable[Any]:
        steps = [
            PipeFunc(
                function, to, renames=given, mapspec=f"{', '.join(f'{name}[i]' for name in given.values())} -> {to}[i]"
            )
            for function, to, given in edges[shape]
        ]
        done = Pipeline(steps).map(
            {"x": list(items)}, executor=executor, chunksizes=stride, storage="dict", show_progress=False
        )
        return list(done["y"].output)

    with ProcessPoolExecutor(workers) as executor:
        yield compute


def chain_of(shape: str) -> tuple[Callable[..., Any], ...]:
    """Return the functions of a shape for those that know only chains.

    Raises:
        NotImplementedError: it is none.
    """
    if shape not in CHAINS:
        raise NotImplementedError("it knows chains only")
    return CHAINS[shape]


FRAMEWORKS = {
    "pypeln": open_pypeln,
    "pyper": open_pyper,
    "dask": open_dask,
    "ray": open_ray,
    "parsl": open_parsl,
    "executorlib": open_executorlib,
    "pipefunc": open_pipefunc,
}
CHAINS_ONLY = ("pypeln", "pyper")
