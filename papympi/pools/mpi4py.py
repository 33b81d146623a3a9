"""The pool of mpi4py's own executor: `MPICommExecutor` on ranks of the world, unchanged.

Without mpiexec there is no such pool: `MPIPoolExecutor` would have to spawn its ranks from this process, which not
every MPI can do, and which takes this process along when it goes wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from papympi.contracts import Backend, Capabilities, Pool
from papympi.errors import LaunchError, PoolError
from papympi.launchers.mpiexec import parse_ranks
from papympi.pools.executor import ExecutorPool
from papympi.workers.cpus import count_cpus
from papympi.workers.ranks.allocation import RankAllocator, joined, must_share
from papympi.workers.ranks.messages import ServeExecutor

if TYPE_CHECKING:
    from mpi4py.futures import MPICommExecutor
    from mpi4py.MPI import Intracomm

P = ParamSpec("P")
T = TypeVar("T")

CAPABILITIES: Final = Capabilities(streams=False)


class RanksExecutor(Executor):
    """mpi4py's executor on some ranks of the world, which it has from the first task to its shutdown.

    Args:
        allocator: the ranks.
        ranks: which of them; none: this process is the only rank, and mpi4py evaluates in a thread of it.
    """

    def __init__(self, name: str, allocator: RankAllocator, ranks: list[int]) -> None:
        self._name = name
        self._allocator = allocator
        self._ranks = ranks
        self._comm: Intracomm | None = None
        self._context: MPICommExecutor | None = None
        self._executor: Any = None

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Let a rank call `function`."""
        if self._executor is None:
            self._executor = self._start()
        future: Future[T] = self._executor.submit(function, *args, **kwargs)
        return future

    def shutdown(self, *args: Any, **kwargs: Any) -> None:
        """Wait for the tasks and give the ranks back."""
        if self._executor is None or self._context is None or self._comm is None:
            return
        self._executor.shutdown(*args, **kwargs)
        self._context.__exit__(None, None, None)
        self._executor = self._context = None
        self._comm.Free()
        self._allocator.forget(self._ranks)

    def _start(self) -> Any:
        """Make the ranks serve the executor."""
        from mpi4py.futures import MPICommExecutor

        self._allocator.claim(self._name, self._ranks)
        for rank in self._ranks:
            self._allocator.send(rank, ServeExecutor(self._ranks))
        self._comm = self._allocator.world.split(self._ranks)
        self._context = MPICommExecutor(self._comm, root=0)
        return self._context.__enter__()


def make(name: str, workers: int | None = None, ranks: str | None = None) -> Pool:
    """Return a pool of mpi4py's executor.

    Args:
        workers: how many ranks at most; by default all that no other pool has.
        ranks: which ranks of the world, e.g. "1-24" or "1-3,7".
    """
    allocator = joined()
    if allocator is None:
        raise LaunchError(
            f"pool {name!r}: mpi4py's executor needs ranks that mpiexec has started: `papympi run --ranks "
            f"{(workers or count_cpus()) + 1} FILE` or `mpiexec -n ...`; the backend mpi starts its own"
        )
    free = allocator.free_ranks()
    chosen = (free if ranks is None else parse_ranks(name, ranks))[:workers]
    if not chosen and allocator.world.size > 1:
        raise PoolError(f"pool {name!r}: other pools have all the ranks; give each its own with `ranks`")
    return ExecutorPool(name, RanksExecutor(name, allocator, chosen), max(1, len(chosen)), CAPABILITIES)


BACKEND: Final = Backend(
    make=make,
    summary="mpi4py's own executor on ranks that mpiexec has started (options: workers, ranks)",
    capabilities=CAPABILITIES,
    must_share=must_share,
)
