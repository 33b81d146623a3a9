"""The pool of child processes: each on a socket of its own, killed and replaced alone."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Final

from papympi.contracts import Backend, Capabilities
from papympi.plan.program import Program
from papympi.transport.ship import pack_program
from papympi.workers.children.client import ForkServerClient
from papympi.workers.children.early import take_early
from papympi.workers.children.renewal import Renewal
from papympi.workers.children.supervisor import Supervisor
from papympi.workers.cpus import count_cpus
from papympi.workers.host import (
    check_count,
    check_load,
    parse_memory,
    parse_renewal,
    parse_shared_memory,
    share_memory,
)

CAPABILITIES: Final = Capabilities(streams=True, survives_crash=True, can_kill=True)


class ProcessesPool(Supervisor):
    """Child processes on this host, forked from a small server of the pool's own, and supervised without threads.

    Args:
        workers: how many; by default one for each CPU that this process may use.
        places: how many batches one worker may have: one at work, one on its way, and more while they are brief and
            light.
        memory: how much one worker may allocate, e.g. "2 GB" or a number of bytes; by default what there is.
        shared_memory: how much shared memory large values may take on their way, in the same form; by default a
            quarter of the memory that there is. What finds no room there, with 0 everything, goes through sockets.
        load: "template": one process loads the user's script, and workers are forked from it, unless that has started
            threads that would not survive; "each": every worker loads the script itself.
        renew_after: after how many items another process takes the place of a worker, between two batches.
        renew_above: above how much memory of its own one does so, in the same form as `memory`.
    """

    capabilities = CAPABILITIES
    notes: Sequence[str] = ()
    concurrency = 1

    def __init__(
        self,
        name: str,
        workers: int | None = None,
        places: int = 2,
        memory: int | str | None = None,
        shared_memory: int | str | None = None,
        *,
        load: str = "template",
        renew_after: int | None = None,
        renew_above: int | str | None = None,
    ) -> None:
        self.name = name
        count = count_cpus() if workers is None else check_count(name, "workers", workers, local=True)
        self.places = check_count(name, "places", places)
        self._has_template = check_load(name, load)
        self.workers: Sequence[str] = [f"{name}[{number}] on {socket.gethostname()}" for number in range(count)]
        names = [f"{name}[{number}]" for number in range(count)]
        shared = share_memory(parse_shared_memory(name, shared_memory))
        renewal = Renewal(*parse_renewal(name, renew_after, renew_above))
        super().__init__(ForkServerClient(name), names, parse_memory(name, memory), shared=shared, renewal=renewal)

    def open(self, program: Program) -> None:
        """Start the fork server and a child for each worker."""
        try:
            loads = program.preparation if self._has_template else None
            self._fork_server = take_early(self.name, loads) or self._fork_server
            self.notes = self._fork_server.notes
            self._fork_server.start()
            if loads is not None:
                self._fork_server.load(loads)
            self.start(program, pack_program(program))  # packed while the server imports
        except BaseException:
            self.kill()
            raise


BACKEND: Final = Backend(
    make=ProcessesPool,
    summary="child processes on this host; a crash costs one item (options: workers, places, memory, shared_memory, "
    "load, renew_after, renew_above)",
    capabilities=CAPABILITIES,
)
