"""The pool of threads of the runner: for input and output, and for code that releases the interpreter lock."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, Literal

from papympi.contracts import Backend, Capabilities
from papympi.pools.executor import ExecutorPool
from papympi.workers.cpus import count_cpus
from papympi.workers.evaluation.alarm import Abandoned, tell_abandoned
from papympi.workers.evaluation.attempt import attempt
from papympi.workers.host import check_count

CAPABILITIES: Final = Capabilities(shares_memory=True, streams=True)


class Threads(Executor):
    """Threads that can be abandoned.

    Those of `concurrent.futures.ThreadPoolExecutor` are joined when the interpreter exits: one that hangs in the user's
    code would keep it from exiting.
    """

    def __init__(self, name: str, workers: int) -> None:
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        self._name = name
        self._threads = [self._make(number) for number in range(workers)]
        self._abandoned: set[int] = set()
        self._state: Literal["new", "running", "ended"] = "new"

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Queue a call; the first one starts the threads."""
        if self._state == "ended":
            raise RuntimeError("the threads have been told to end")
        if self._state == "new":
            self._state = "running"
            for thread in self._threads:
                thread.start()
        future: Future[Any] = Future()
        self._jobs.put((future, partial(function, **options) if options else function, args))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - inherited
        """End the threads after what is queued, or at once without it, and wait for them if told to."""
        while cancel_futures:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is not None:
                job[0].cancel()
        self._jobs.put(None)
        for thread in self._threads if wait else ():
            if thread.ident is not None:  # it has been started
                thread.join()
        self._state = "ended"

    def replace(self, thread: int) -> None:
        """Put another thread in the place of one that hangs; if that ever comes back, it ends."""
        self._abandoned.add(thread)
        fresh = self._make(len(self._threads))
        self._threads = [each for each in self._threads if each.ident != thread] + [fresh]
        fresh.start()

    def _make(self, number: int) -> threading.Thread:
        return threading.Thread(target=self._work, name=f"{self._name}[{number}]", daemon=True)

    def _work(self) -> None:
        try:
            with contextlib.suppress(Abandoned):  # it may come when the last batch is over
                self._work_off()
        finally:
            self._abandoned.discard(threading.get_ident())

    def _work_off(self) -> None:
        """Work until the end is in the queue. It stays there: nobody knows how many threads still look."""
        while threading.get_ident() not in self._abandoned:
            job = self._jobs.get()
            if job is None:
                self._jobs.put(None)
                return
            future, function, args = job
            if future.set_running_or_notify_cancel():
                result, error = attempt(function, *args)
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)
                del result, error
            del job, future, function, args  # what they hold must not live until the next job


class ThreadsPool(ExecutorPool):
    """Threads of the runner.

    Args:
        workers: how many; by default as many as this process may use CPUs, and four more.

    Attributes:
        notes: what the summary has to say of threads that were left alone.
    """

    def __init__(self, name: str, workers: int | None = None) -> None:
        if workers is None:
            workers = count_cpus() + 4
        self._threads = Threads(name, check_count(name, "workers", workers, local=True))
        super().__init__(name, self._threads, workers, CAPABILITIES)
        self.workers = [f"{name} ({workers} threads)"]
        self._given_up = 0

    def replace_thread(self, thread: int) -> None:
        """Put another thread in the place of one that hangs in an item that has timed out."""
        self._threads.replace(thread)
        self._given_up += 1
        self.notes = [tell_abandoned(self.name, self._given_up)]

    def kill(self) -> None:
        """Abandon the threads: each ends after the batch that it is at, or with the interpreter."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._let_go()


BACKEND: Final = Backend(
    make=ThreadsPool,
    summary="threads of the runner, for input and output (option: workers)",
    capabilities=CAPABILITIES,
)
