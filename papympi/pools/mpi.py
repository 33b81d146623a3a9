"""The pool of MPI ranks, driven by the engine's turn: batches on their way to each rank, polled for outcomes.

In a world of ranks, which mpiexec has started, it sends messages itself. Elsewhere it starts local ranks and talks to
them through a socket. In a world of one rank this process is the rank. Each rank has children that evaluate, or
evaluates itself.
"""

from __future__ import annotations

import os
import weakref
from collections import Counter
from collections.abc import Sequence
from typing import Final

from papympi.contracts import Backend, Capabilities
from papympi.errors import OptionError, PoolError, ShippingError
from papympi.launchers import mpiexec
from papympi.plan.program import Program
from papympi.pools.links import Compose, LocalRanks, RankLink, SingleRank, WorldRanks, open_ranks
from papympi.transport.packed import Packed, PackedFile
from papympi.transport.records import Logs
from papympi.transport.sealed import decode, outline, seal
from papympi.transport.ship import pack_program
from papympi.transport.task import Lost, Outcome, Task
from papympi.workers.children.citizen import find_secret
from papympi.workers.children.renewal import Renewal
from papympi.workers.cpus import count_cpus
from papympi.workers.host import check_count, check_load, parse_memory, parse_renewal, parse_shared_memory, share_memory
from papympi.workers.ranks import messages
from papympi.workers.ranks.allocation import joined, must_share
from papympi.workers.ranks.hang_detector import GRACE_S, Hang, HangDetector
from papympi.workers.ranks.messages import Answer, Isolation, OpenProgram

CAPABILITIES: Final = Capabilities(streams=True, survives_crash=True, can_kill=True)
_OWN: Final = Capabilities(streams=True)
"""What ranks can do that evaluate themselves."""


class MpiPool:
    """MPI ranks. Worker n is on the rank n modulo the number of ranks.

    Args:
        workers: how many ranks at most; by default all that no other pool has or has asked for. Without mpiexec:
            how many to start, by default as many as give a worker to each CPU that this process may use.
        ranks: which ranks of the world, e.g. "1-24" or "1-3,7".
        places: how many batches one worker may have: one at work, one on its way, and more while they are brief and
            light.
        isolate: ranks let child processes evaluate, so that a crash costs one item and hard time-outs are kept.
            `False`: they evaluate themselves, which gives nodes the rank's own MPI.
        workers_per_rank: how many children each rank has.
        memory: how much one child may allocate, e.g. "2 GB" or a number of bytes; by default what there is.
        shared_memory: how much shared memory large values may take on each host, in the same form, divided among the
            ranks there, and the way to them if they are local; by default a quarter of the memory of the host. What
            finds no room goes through sockets.
        load: as for the pool `processes`, on each rank that isolates.
        renew_after: after how many items another process takes the place of a child, between two batches.
        renew_above: above how much memory of its own one does so, in the same form as `memory`.
    """

    concurrency = 1

    def __init__(
        self,
        name: str,
        workers: int | None = None,
        ranks: str | None = None,
        places: int = 4,
        *,
        isolate: bool = True,
        workers_per_rank: int = 1,
        memory: int | str | None = None,
        shared_memory: int | str | None = None,
        load: str = "template",
        renew_after: int | None = None,
        renew_above: int | str | None = None,
    ) -> None:
        self.name = name
        self.places = check_count(name, "places", places)
        self.workers: Sequence[str] = ()
        self.notes: Sequence[str] = ()
        if not isinstance(isolate, bool):
            raise OptionError(f"pool {name!r}: isolate must be true or false, not {isolate!r}")
        self.capabilities = CAPABILITIES if isolate else _OWN
        self._isolate = isolate
        self._each = check_count(name, "workers_per_rank", workers_per_rank, local=True)
        self._memory = parse_memory(name, memory)
        self._has_template = check_load(name, load)
        self._shared = parse_shared_memory(name, shared_memory)
        self._renewal = Renewal(*parse_renewal(name, renew_after, renew_above))
        for option, given in (
            ("workers_per_rank", self._each > 1),
            ("memory", self._memory),
            ("shared_memory", shared_memory is not None),
            ("renew_after", renew_after),
            ("renew_above", renew_above),
        ):
            if given and not isolate:
                raise OptionError(f"pool {name!r}: {option} is for the children of ranks: it needs isolate = true")
        self._limit = None if workers is None else check_count(name, "workers", workers)
        self._ranks = None if ranks is None else mpiexec.parse_ranks(name, ranks)
        self._link: RankLink | None = None
        self._hangs: HangDetector | None = None
        self._deaths: list[int] = []
        self._early: list[Logs] = []
        if ranks is not None:
            _reserved[self] = frozenset(self._ranks or ())

    def open(self, program: Program) -> None:
        """Get hold of the ranks and send them the program."""
        packed = pack_program(program)
        self._link = self._connect()
        try:
            ranks = [place.rank for place in self._link.places]
            names = [f"{self.name}[{i}] rank {ranks[i % len(ranks)]}" for i in range(len(ranks) * self._each)]
            compose = self._compose_openings(self._link, program, names)
            self._deaths = [0] * len(names)
            for number, answer in open_ranks(self._link, packed, compose, share=self._isolate and self._has_template):
                if isinstance(answer, messages.OpeningFailed):
                    raise self._explain_failure(names[number], answer.reason)
                self._note(number, answer)
        except BaseException:
            self.kill()
            raise
        if not self._isolate:
            self._hangs = HangDetector(program, len(names), GRACE_S)
        hosts = [place.host for place in self._link.places]
        self.workers = [f"{name} on {hosts[number % len(hosts)]}" for number, name in enumerate(names)]

    def submit(self, worker: int, task: Task) -> None:
        """Send a task to a worker; what cannot leave at once, `collect` sends."""
        assert self._link is not None
        child, number = divmod(worker, len(self._link.places))
        if self._isolate:
            parts = seal(task.to_wire())
            head = child, self._deaths[worker], task.id, int(task.kind), task.stage
            order = messages.ForwardTask(*head, parts, task.keys)
            self._link.send(number, order)
        else:
            self._link.send(number, messages.EvaluateTask(task.to_wire()))
        if self._hangs is not None:
            self._hangs.send(worker, task)

    def collect(self) -> list[Outcome | Lost | Logs]:
        """Return what has come home, what was printed, and the workers that were lost and have been replaced."""
        if self._link is None:
            return []
        news: list[Outcome | Lost | Logs] = [*self._early]
        self._early.clear()
        for number, answer in self._link.take():
            news += self._read(number, answer)
        if self._hangs is not None and not news and (hang := self._hangs.find_hang()):
            raise PoolError(self._describe_hang(hang))
        return news

    def withdraw(self) -> None:
        """Let the ranks, or their children, begin nothing more."""
        if self._link is not None:
            for number in range(len(self._link.places)):
                self._link.send(number, messages.BeginNothing())

    def _read(self, number: int, answer: Answer) -> Sequence[Outcome | Lost | Logs]:
        """Return what a rank has to say."""
        assert self._link is not None
        if isinstance(answer, messages.OutcomeForwarded):
            return [Outcome.from_wire(decode(answer.parts))]
        if isinstance(answer, messages.TaskEvaluated):
            outcome = Outcome.from_wire(answer.wire)
            if self._hangs is not None:
                self._hangs.hear(number, outcome)
            return [outcome]
        if isinstance(answer, messages.ChildLost):
            lost = answer.lost
            lost.worker = lost.worker * len(self._link.places) + number
            self._deaths[lost.worker] += 1
            return [lost]
        if isinstance(answer, messages.ChildrenFailed):
            raise answer.error
        return [answer.logs] if isinstance(answer, messages.LogsForwarded) else []

    def _note(self, number: int, answer: Answer) -> None:
        """Take note of what a rank says while others are opening the program; a child that it has lost had no task."""
        if isinstance(answer, messages.ProgramOpened) and answer.crowd:
            self.notes = [f"pool {self.name!r}: {answer.crowd}"]
        for news in self._read(number, answer):
            logs = news.logs if isinstance(news, Lost) else news
            if isinstance(logs, Logs):
                self._early.append(logs)

    def fileno(self) -> int | None:
        """Return a descriptor that tells of local ranks, or of the children of this one; others have none."""
        return None if self._link is None else self._link.fileno()

    def deadline(self) -> float | None:
        """Return when a rank that evaluates itself will have kept silent for too long; others look after children."""
        if self._hangs is not None:
            return self._hangs.deadline()
        return None if self._link is None else self._link.deadline()

    def close(self) -> None:
        """Let the ranks finish what they are at; those of the world wait for the next pool, local ones end."""
        link = self._let_go()
        if link is not None:
            link.close()

    def kill(self) -> None:
        """Let go of the ranks at once, and kill their children; local ranks are killed themselves.

        Ranks of the world that evaluate themselves finish their batch for nobody.
        """
        link = self._let_go()
        if link is not None:
            link.kill()

    def _let_go(self) -> RankLink | None:
        """Return the link to the ranks, which this pool has no more."""
        link, self._link = self._link, None
        _reserved.pop(self, None)
        return link

    def _compose_openings(self, link: RankLink, program: Program, names: Sequence[str]) -> Compose:
        """Return what makes the order that tells a rank what it will be asked for."""
        outlined, secret = outline(program), find_secret()
        if not self._has_template:
            outlined.preparation = None
        sharers = Counter(place.host for place in link.places)
        if isinstance(link, LocalRanks):
            sharers.update(sharers.keys())  # the link takes a share, too

        def compose(number: int, packed: Packed | PackedFile, door: str) -> OpenProgram:
            place = link.places[number]
            limits = self._memory, self._shared, sharers[place.host]
            isolation = Isolation(self.name, names[number :: len(link.places)], outlined, *limits, self._renewal)
            label = f"{names[number]} pid {place.pid} on {place.host}"
            return OpenProgram(label, packed, isolation if self._isolate else None, door, secret)

        return compose

    def _explain_failure(self, name: str, reason: str) -> PoolError | ShippingError:
        """Return the error for a rank that cannot open the program."""
        if self._isolate:
            return PoolError(f"pool {self.name!r}: {name} cannot start its children: {reason}")
        return ShippingError(f"pool {self.name!r}: {name} cannot load the functions:\n{reason}")

    def _describe_hang(self, hang: Hang) -> str:
        """Return what to say of a rank that hangs."""
        task = hang.task
        nodes = ", ".join(map(repr, hang.nodes))
        return (
            f"pool {self.name!r}: {self.workers[hang.worker]} hangs: its batch of {task.items} calls of {nodes} "
            f"may take {task.budget:g} s by their time-outs, and nothing has come from it for {hang.seconds:.0f} "
            "s. A rank that evaluates itself cannot be interrupted there; with isolate = true only the item is lost"
        )

    def _connect(self) -> RankLink:
        """Get hold of the ranks that there are here."""
        allocator = joined()
        promised = mpiexec.promised_ranks(os.environ)
        if allocator is None and promised > 1:
            raise PoolError(
                f"pool {self.name!r}: this process is one of {promised} ranks, and nobody has told the others to work; "
                f"start them with `mpiexec -n {promised} papympi run FILE`, or start this program without mpiexec"
            )
        if allocator is None and not promised:
            count = self._limit or len(self._ranks or ()) or -(-count_cpus() // self._each)
            shared = share_memory(self._shared) // (count + 1 if self._isolate else 1)
            return LocalRanks(self.name, count, isolates=self._isolate, shared=shared)
        if allocator is None:
            return SingleRank(self.name, None, isolates=self._isolate)
        if allocator.world.size == 1 and (not self._isolate or allocator.take_fork_server()):
            give = allocator.give_fork_server if self._isolate else None
            return SingleRank(self.name, allocator.world.fork_server, isolates=self._isolate, on_end=give)
        ranks = self._ranks if allocator.world.size > 1 else []
        if ranks is None:
            wanted = frozenset[int]().union(*_reserved.values())
            ranks = [rank for rank in allocator.free_ranks() if rank not in wanted]
        if not ranks:
            self._isolate = False  # this rank has no children: none may be forked after MPI has started
            self.notes = [f"pool {self.name!r}: others had all the ranks; the runner has evaluated its nodes itself"]
            return SingleRank(self.name, None, isolates=False)
        return WorldRanks(self.name, allocator, ranks[: self._limit])


_reserved: Final[weakref.WeakKeyDictionary[MpiPool, frozenset[int]]] = weakref.WeakKeyDictionary()
"""Pools that have asked for certain ranks and are not closed: others leave these to them."""


BACKEND: Final = Backend(
    make=MpiPool,
    summary="MPI ranks: those that mpiexec has started, else local ones of its own (options: workers, ranks, places, "
    "isolate, workers_per_rank, memory, shared_memory, load, renew_after, renew_above)",
    capabilities=CAPABILITIES,
    must_share=must_share,
)
