"""What a plugin may provide: the contract of a pool on one page, the backends that make pools, what observers see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from papympi.model.item import Failure, Key, Result
from papympi.plan.program import Program
from papympi.transport.bitmap import clip_bitmap
from papympi.transport.payload import Payload
from papympi.transport.records import Logs
from papympi.transport.task import KeyRun, Lost, Outcome, Task


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What may be expected of a pool. The engine asks for the first three; the contract suite tests what is promised.

    Attributes:
        shares_memory: workers see the runner's objects: payloads need no pickling.
        streams: a worker can hold a suspended generator.
        holds_up: the users' functions run inside `collect`, which blocks meanwhile; it is called only in the thread of
            whoever asks for results.
        parallel: functions that block run beside one another, and the pool can be closed meanwhile.
        survives_crash: a worker that dies is replaced, and reported by `Lost`.
        can_kill: `kill()` ends workers whatever they are doing.
    """

    shares_memory: bool = False
    streams: bool = True
    holds_up: bool = False
    parallel: bool = True
    survives_crash: bool = False
    can_kill: bool = False


class Pool(Protocol):
    """A named set of workers that the engine hands batches to.

    All methods are called from the one thread that holds the engine's turn, and none but `open`, `close` and `kill`
    may block. Workers are numbered from 0; a worker that was lost is replaced under its number.

    Attributes:
        name: the pool's name in the graph, e.g. "mpi".
        capabilities: what the engine may expect.
        workers: a label for each worker, fixed once the pool is open.
        concurrency: how many batches one worker evaluates at the same time (an executor counts as one worker).
        places: how many batches one worker may have: those that run and those that wait there; more than twice
            `concurrency` are used only while batches are brief.
    """

    name: str
    capabilities: Capabilities
    workers: Sequence[str]
    concurrency: int
    places: int

    @property
    def notes(self) -> Sequence[str]:
        """What the summary of the run ends with, a sentence each, such as about threads that were left alone."""
        return ()

    def open(self, program: Program) -> None:
        """Start the workers and see that the program reaches each of them before its first task.

        Raises:
            PoolError: they cannot be started; says what is missing and what to do.
            ShippingError: a function cannot be sent; names it.
        """

    def submit(self, worker: int, task: Task) -> None:
        """Send a task to a worker that has a place free. Never blocks."""

    def collect(self) -> Sequence[Outcome | Lost | Logs]:
        """Return what workers have sent since the last call, and which of them were lost. Never blocks.

        All outcomes that a lost worker had sent come before its `Lost`. Tasks it still had are the engine's to repeat.
        What workers print and log comes with their outcomes, or in between, as it comes.
        """

    def withdraw(self) -> None:
        """Let workers begin nothing more: what they have not begun comes as `Outcome.of_unbegun`. May be missing."""

    def fileno(self) -> int | None:
        """Return a descriptor that is readable when `collect` has something to do; `None`: poll me."""

    def deadline(self) -> float | None:
        """Return when `collect` has to look after a time-out, by `time.monotonic`; `None`: there is none."""

    def close(self) -> None:
        """End the workers once they have finished their batches, and wait until they are gone."""

    def kill(self) -> None:
        """End the workers at once, and wait until they are gone. Threads are abandoned. May follow `close`."""


@dataclass(frozen=True, slots=True)
class Backend:
    """What makes pools: registered under a name through the hook `papympi_backends`.

    Attributes:
        make: called as `make(name, **options)` with the pool's name and the options of its table or `--pool`; its
            keyword parameters are the options there are (`workers` is the one that `--pool NAME=BACKEND:8` sets).
            Returns a `Pool`, or a `concurrent.futures.Executor`, which becomes a pool through `ExecutorPool`.
        summary: one line for `papympi plugins` and `papympi doctor`.
        capabilities: what pools made of it can do; of an executor, what the adapter is told.
        end: ends an executor at once, whatever its workers do; `None`: there is no way but `shutdown`.
        must_share: asked with the options and how many pools of a run have these: says whether there are not workers
            enough for each, so that one pool has all these names; `None`: each is a pool of its own.
    """

    make: Callable[..., Pool | Executor]
    summary: str
    capabilities: Capabilities = Capabilities(streams=False)
    end: Callable[[Any], None] | None = None
    must_share: Callable[[Mapping[str, Any], int], bool] | None = None


@dataclass(frozen=True, slots=True)
class NodeCount:
    """How far one node is: items done, of them failed and dropped, seconds spent by workers, and how often retried."""

    done: int = 0
    failed: int = 0
    dropped: int = 0
    seconds: float = 0.0
    retried: int = 0


@dataclass(frozen=True, slots=True)
class Statistics:
    """How far a run is, at one moment; each field stands in `events.jsonl`, where `papympi status` finds it.

    Attributes:
        nodes: by node name, in the order of the plan.
        pulled: rows taken from the inputs so far.
        through: those of them that the run has behind it: all that came of them is delivered, folded or dropped.
        length: how many rows there are, if every input knows its length.
        delivered: results handed to the consumer.
        live: items in the graph now; `admission` bounds it.
        highest: the most items that were in the graph at once, places that are reserved for children included.
        heaviest: the most bytes that items in the graph had at once: an estimate from the sizes of earlier items,
            rather too high.
        seconds: since the first item was asked for.
        finished: nothing more will be delivered.
        complete: everything has been delivered: the run was not stopped before.
    """

    nodes: Mapping[str, NodeCount]
    pulled: int = 0
    through: int = 0
    length: int | None = None
    delivered: int = 0
    live: int = 0
    highest: int = 0
    heaviest: int = 0
    seconds: float = 0.0
    finished: bool = False
    complete: bool = False


@dataclass(frozen=True, slots=True)
class NodeOption:
    """An option of `@node` that a plugin understands.

    Attributes:
        summary: one line for `papympi plugins` that says what it is for.
        accepts: says whether a value is possible; `None`: every value is.
    """

    summary: str
    accepts: Callable[[Any], bool] | None = None


ABSENT = -1
"""The number of children of an item that was dropped."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Results of one node at consecutive siblings, as a store has kept them.

    Attributes:
        first, stop: their positions among the siblings.
        valid: bit i set: position first + i is there (not dropped); `FULL`: all are.
        failed: bit i set: the value at first + i is a `Failure`.
        payload: their values; `None`: only which of them are there was kept.
        offset: where they begin in the payload.
    """

    first: int
    stop: int
    valid: int
    failed: int
    payload: Payload | None
    offset: int

    def cut(self, first: int, stop: int) -> Stretch:
        """Return the part in first..stop, which it must cover."""
        start, end = first - self.first, stop - self.first
        valid, failed = clip_bitmap(self.valid, start, end), clip_bitmap(self.failed, start, end)
        return Stretch(first, stop, valid, failed, self.payload, self.offset + start)


class History(Protocol):
    """What a store knows of earlier attempts at a run. Each of it is true by itself, whatever else was lost."""

    @property
    def failures(self) -> Iterable[Failure]:
        """Return those of earlier attempts, each read when it is wanted, as there may be millions."""

    def has_failed(self, node: str, key: Key) -> bool:
        """Return whether a node failed at a key in an earlier attempt."""

    def stretches(self, node: str, parent: Key | None) -> Sequence[Stretch]:
        """Return the results of a node below a parent, in order and disjoint; `None`: the one of the whole run."""

    def count(self, node: str, parent: Key) -> int | None:
        """Return how many children a source or scatter made of a parent; `None`: it was not finished."""

    def parents(self, node: str, above: Key | None) -> Iterable[int]:
        """Return for which children of a parent it is known how many children a source or scatter made of them."""

    def state(self, node: str, parent: Key) -> tuple[int, Payload] | None:
        """Return how many children of a parent a fold has taken, and its accumulator then."""


class Store(Protocol):
    """Keeps what workers have sent back, for a later attempt. Its methods do not wait for a disk, unless too much does.

    Keys come as runs, as in a task; no run at all stands for the one position of the whole run.
    """

    def keep_results(
        self, node: str, runs: Sequence[KeyRun], bitmaps: tuple[int, int], payload: Payload | None, offset: int
    ) -> None:
        """Keep results of a node; `bitmaps` say which are there, and which of them are failures."""

    def keep_counts(self, node: str, parents: Sequence[KeyRun], counts: Sequence[int]) -> None:
        """Keep how many children a source or scatter made of each of some parents."""

    def keep_state(self, node: str, parent: Key, at: int, state: Payload) -> None:
        """Keep the accumulator of a fold after the first `at` children of a parent, in place of an earlier one."""

    def drop_state(self, node: str, parent: Key) -> None:
        """Forget the accumulator of a fold: its parent is finished."""

    def keep_failure(self, failure: Failure, given: Sequence[Any] | None) -> None:
        """Keep a failure, with the values that its stage was given, to be repeated under a debugger."""

    def keep_rows(self, node: str, start: int, values: Sequence[Any]) -> None:
        """Keep what tells rows of an input from others.

        Raises:
            JournalError: a row is not what it was in an earlier attempt.
        """

    def check(self) -> None:
        """Raise the error of whatever went wrong behind the run's back.

        Raises:
            JournalError: the disk is full, or gone.
        """


Reader = Callable[[Path], Iterable[Any]]
"""Reads an input file: returns its items, lazily where it can be long."""


class Writer(Protocol):
    """Writes results into an open file, one after the other, in the order in which the run delivers them."""

    def write(self, result: Result) -> None:
        """Write one result."""

    def close(self) -> None:
        """Write what is left; the file itself is closed by whoever opened it."""


WriterFactory = Callable[[IO[bytes]], Writer]
"""Makes a writer for a file that is open for reading and writing bytes."""
