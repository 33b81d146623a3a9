"""A rank from its start to its end: it joins the world, serves rank 0, and ends when it is told to."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NoReturn

from papympi.errors import LaunchError
from papympi.model.tracebacks import tell_traceback
from papympi.workers.children.client import ForkServerClient
from papympi.workers.children.mpi_blocks import drop_abandoned, drop_blocks
from papympi.workers.cpus import find_cpus
from papympi.workers.evaluation.attempt import attempt
from papympi.workers.ranks.providers import check_choice, may_span_hosts, without_unreliable
from papympi.workers.ranks.wire import Wire

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

_WITHOUT: Final = "PAPYMPI_WITHOUT_CHILDREN"
"""Environment variable: with "1" ranks start no fork server, and cannot isolate."""
START_S = 600.0
"""How long MPI may take to start; a launcher whose messages get lost would have it wait for ever."""
_FORWARDING_S: Final = 0.2
"""How long mpiexec gets to forward a last word before the job is aborted."""
_FITTING: Final = {"MPICH": " (pmi2, as a rule)", "Open MPI": " (pmix, as a rule)"}


class World:
    """The ranks of one job, as one of them sees them.

    Attributes:
        rank: the number of this one; rank 0 is the runner.
        hosts: rank 0 only: host and process id of each rank.
        crowd: how many ranks of this host share one of the processors that they may use.
        wire: the messages between them.
        comm: a communicator that only papympi uses.
        fork_server: the fork server of this rank, started before MPI was; `None`: it has none.
    """

    def __init__(self, comm: Intracomm, fork_server: ForkServerClient | None = None) -> None:
        self.comm = comm
        self.fork_server = fork_server
        self.rank: int = comm.rank
        self.size: int = comm.size
        self.wire = Wire(comm)
        found = comm.gather((socket.gethostname(), os.getpid(), find_cpus()), 0) or []
        self.hosts: list[tuple[str, int]] = [(host, pid) for host, pid, _ in found]
        self.crowd: float = comm.scatter(count_crowds([(host, processors) for host, _, processors in found]) or None)

    def ignore_signals(self, *more: signal.Signals) -> None:
        """Let Ctrl-C, and what stands for it, pass by: rank 0 or the user's process decides when the job ends."""
        for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, *more):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # it was held back while the ranks met

    def split(self, ranks: Sequence[int]) -> Intracomm:
        """Return a communicator of rank 0 and `ranks`; all of them must call it."""
        members = self.comm.Get_group().Incl([0, *ranks])
        return self.comm.Create_group(members, min(ranks, default=0))

    def leave(self) -> None:
        """Leave MPI, when all have said goodbye."""
        from mpi4py import MPI

        if self.fork_server is not None:
            self.fork_server.end(0)
        self.comm.Barrier()  # who finalizes helps no more with what others are still sending
        self.wire.free()
        self.comm.Free()
        MPI.Finalize()

    def abort(self, code: int) -> NoReturn:
        """End all ranks at once with a non-zero exit code; what they have printed is seen first."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        time.sleep(_FORWARDING_S)
        drop_blocks(os.getpid())
        self.comm.Abort(code or 1)
        raise AssertionError("unreachable")

    def protect(self, work: Callable[[], int]) -> int:
        """Return what `work` returns; if it raises, end all ranks with its traceback."""
        code, error = attempt(work)
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        elif error is not None:
            where = f"papympi: rank {self.rank} on {socket.gethostname()} (pid {os.getpid()}) failed:\n"
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(where + tell_traceback(error, tells_own=True))
            self.abort(1)
        return int(code)


def count_crowds(ranks: Sequence[tuple[str, frozenset[int]]]) -> list[float]:
    """Return for each rank, on a host where it may use some processors, how many ranks there share one."""
    processors: dict[str, frozenset[int]] = {}
    for host, usable in ranks:
        processors[host] = processors.get(host, frozenset()) | usable
    sharers = Counter(host for host, _ in ranks)
    return [sharers[host] / len(processors[host]) for host, _ in ranks]


def start_fork_server() -> ForkServerClient | None:
    """Start the fork server of this rank, before MPI is initialised: nothing may be forked afterwards.

    It ends with the rank, however that ends.
    """
    if os.environ.get(_WITHOUT) == "1":
        return None
    fork_server = ForkServerClient("mpi")
    fork_server.start()
    return fork_server


def attach(promised: int, fork_server: ForkServerClient | None = None) -> World:
    """Join the world of ranks that a launcher has started."""
    try:
        with _bounded_start():
            vendor = initialize()
    except (ImportError, RuntimeError) as error:
        raise LaunchError(
            f"MPI cannot be loaded ({error}); get it with `pip install 'papympi[mpi]'`, or load the site's MPI module"
        ) from error
    from mpi4py import MPI

    size = count_ranks()
    if promised != size:
        raise LaunchError(
            f"the launcher promised {promised} ranks, but {_name_library()} sees {size}: launcher and "
            "MPI library do not belong together; start with the mpiexec of that library, or under srun choose the "
            f"`--mpi=` that fits it{_FITTING.get(vendor, '')}; `papympi doctor` says which ones there are"
        )
    world = World(MPI.COMM_WORLD.Dup(), fork_server)
    if vendor == "MPICH":  # it leaves its block behind after every abort or kill
        MPI.COMM_WORLD.Barrier()  # all ranks have mapped it; those of Open MPI map theirs when they need them
        drop_blocks(os.getpid())
    drop_abandoned()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    return world


def initialize() -> str:
    """Begin MPI, if nobody has; return whose library it is. Where ranks may be on several hosts, they send reliably."""
    import mpi4py

    mpi4py.rc.initialize, mpi4py.rc.finalize = False, True
    from mpi4py import MPI

    vendor: str = MPI.get_vendor()[0]
    chooses = vendor == "MPICH" and may_span_hosts(os.environ)
    if chooses:
        check_choice(os.environ)
    with without_unreliable() if chooses else contextlib.nullcontext():
        if not MPI.Is_initialized():
            MPI.Init_thread(getattr(MPI, f"THREAD_{mpi4py.rc.thread_level.upper()}"))
    return vendor


@contextlib.contextmanager
def _bounded_start() -> Iterator[None]:
    """End this process if the block does not come to its end: in MPI's start no Python code can run any more."""
    before = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, START_S)
    faulthandler.dump_traceback_later(START_S * 0.95, file=2)  # says where
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def count_ranks() -> int:
    """Return how many ranks MPI sees; it is initialised if it was not."""
    from mpi4py import MPI

    size: int = MPI.COMM_WORLD.size
    if size == 1:
        drop_blocks(os.getpid())  # a lone rank of Open MPI leaves its own behind
    return size


def describe() -> dict[str, str]:
    """Return what MPI this interpreter loads, without initialising it."""
    import mpi4py

    mpi4py.rc.initialize = False
    from mpi4py import MPI

    vendor, version = MPI.get_vendor()
    return {
        "mpi4py": mpi4py.__version__,
        "vendor": vendor,
        "version": ".".join(map(str, version)),
        "library": _name_library(),
    }


def _name_library() -> str:
    """Return the first line of what the MPI library says of itself."""
    from mpi4py import MPI

    lines = MPI.Get_library_version().replace("\0", "").strip().splitlines()
    return " ".join(lines[0].split(",")[0].split()) if lines else "MPI"
