"""What is a `map`: the pools of the standard library, mpi4py.futures, loky and joblib, with two workers.

Each peer is a context manager that yields `spread(function, stride, *columns)`, which returns the results of a function
for the rows of some columns, in batches of a stride; shapes are made of nested calls of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from benchmarks.functions import CHAINS, DIAMOND, add, double, increment, negate

Spread = Callable[..., Iterable[Any]]
Shaped = Callable[[str, Iterable[int], int], Iterable[Any]]
"""Returns the results of a shape for some items in batches of a stride."""


class Star:
    """Calls a function with a row of arguments."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, row: tuple[Any, ...]) -> Any:
        return self.function(*row)


@contextmanager
def spread_over(executor: Any) -> Iterator[Spread]:
    """The `map` of an executor, which ends afterwards."""
    with executor:
        yield lambda function, stride, *columns: executor.map(function, *columns, chunksize=stride)


def open_executor(workers: int) -> AbstractContextManager[Spread]:
    """`concurrent.futures.ProcessPoolExecutor.map`."""
    from concurrent.futures import ProcessPoolExecutor

    return spread_over(ProcessPoolExecutor(workers))


@contextmanager
def open_imap(workers: int) -> Iterator[Spread]:
    """`multiprocessing.Pool.imap`."""
    import multiprocessing

    def spread(function: Callable[..., Any], stride: int, *columns: Iterable[Any]) -> Iterable[Any]:
        if len(columns) == 1:
            return pool.imap(function, columns[0], chunksize=stride)
        return pool.imap(Star(function), zip(*columns, strict=True), chunksize=stride)

    with multiprocessing.Pool(workers) as pool:
        yield spread


def open_loky(workers: int) -> AbstractContextManager[Spread]:
    """`loky`'s executor."""
    from loky import ProcessPoolExecutor

    return spread_over(ProcessPoolExecutor(workers))


@contextmanager
def open_joblib(workers: int) -> Iterator[Spread]:
    """`joblib.Parallel`, with its default backend."""
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    def spread(function: Callable[..., Any], stride: int, *columns: Iterable[Any]) -> Iterable[Any]:
        parallel = Parallel(n_jobs=workers, batch_size=stride)  # its generators cannot feed each other
        return parallel(delayed(function)(*row) for row in zip(*columns, strict=True))

    yield spread
    get_reusable_executor().shutdown(wait=True)


MAPS = {
    "ProcessPoolExecutor.map": open_executor,
    "Pool.imap": open_imap,
    "loky": open_loky,
    "joblib": open_joblib,
}
STANDARD = ("ProcessPoolExecutor.map", "Pool.imap")


def shape_maps(spread: Spread) -> Shaped:
    """Return what computes a shape by nested maps."""

    def compute(shape: str, items: Iterable[int], stride: int) -> Iterable[Any]:
        if shape == DIAMOND:
            middle = list(spread(increment, stride, items))
            return spread(add, stride, spread(double, stride, middle), spread(negate, stride, middle))
        column: Iterable[Any] = items
        for function in CHAINS[shape]:
            column = spread(function, stride, column)
        return column

    return compute
