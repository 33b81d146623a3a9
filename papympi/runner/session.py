"""What one run holds: its pools, its engine, and the promise that all of it is gone afterwards, however it ends."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from papympi.contracts import Pool
from papympi.engine.delivery import Delivery
from papympi.engine.driver import EngineDriver
from papympi.engine.loop import Engine
from papympi.errors import StateError
from papympi.model.graph import Graph
from papympi.monitors.progress import ProgressDisplay
from papympi.plan.plan import Plan
from papympi.runner.echo import Echo
from papympi.runner.failure_files import RunFailures
from papympi.runner.hooks import Watchers
from papympi.runner.journal_options import JournalOptions
from papympi.runner.pooling import find_culprit, name_pool
from papympi.script.prepare import find_loading
from papympi.workers.children.early import end_early
from papympi.workers.evaluation.capture import be_runner
from papympi.workers.evaluation.recorder import shown_by

if TYPE_CHECKING:
    from papympi.runner.run_journal import RunJournal

_OPEN: set[Session] = set()

CLOSED = "is closed"
CANCELLED = "was cancelled"
ENDED = "was cut off by the end of the program"
CUT_OFF = "has ended with an error, or was given up"


def prepare_journal(
    journal: str | Path | JournalOptions | None, plan: Plan, graph: Graph, given: Collection[str], *, resume: bool
) -> RunJournal | None:
    """Return the journal of a run, `None` if it is to have none; then nothing of journals is imported."""
    if journal is None:
        return None
    from papympi.runner.run_journal import RunJournal

    options = journal if isinstance(journal, JournalOptions) else JournalOptions(folder=Path(journal), resume=resume)
    return RunJournal(options, plan, graph, given)


class Session:
    """The pools and the engine of one run. Whatever changes its state may be called from any thread or signal handler.

    Attributes:
        plan: what is run.
        engine: `None` before it has begun.
        state: where it stands; "opening": its pools are; "foreign": this process was forked from the one it belongs to.
        on_cut: refers to what is called with the reason, once, when it ends before its end.
        misses: how many failures were handed over instead of values.
        failures: takes every failure.
    """

    def __init__(
        self,
        plan: Plan,
        pools: Mapping[str, Pool],
        watchers: Watchers,
        *,
        progress: bool = False,
        journal: RunJournal | None = None,
        **settings: Any,
    ) -> None:
        self.plan = plan
        self.engine: Engine | None = None
        self.state: Literal["new", "opening", "running", "closed", "foreign"] = "new"
        self.on_cut: Callable[[], Callable[[str], None] | None] | None = None
        self.misses = 0
        self.failures = RunFailures(None if journal is None else journal.failures)
        self._made = dict(pools)
        self._watchers = watchers
        self._journal = journal
        self._settings = settings
        self._driver: EngineDriver | None = None
        self._pools: dict[str, Pool] = {}
        self._stopping: Literal["", "drain", "now"] = ""
        self._paused = self._finished = False
        self._why = ""
        self._begins, self._ends = ["once"], ["once"]  # to pop from a list is atomic, and needs no lock
        self._shows = progress
        self._display = ExitStack()
        self._echo = Echo()

    def check_new(self) -> None:
        """Raise a `StateError` if the session has begun."""
        if self.state != "new":
            raise self._refuse(self._why or (CLOSED if self.state == "closed" else "is being iterated already"))

    def begin(self) -> None:
        """Open the pools and make the engine."""
        self.check_new()
        if not _take(self._begins):
            raise self._refuse("is being iterated already")
        with ExitStack() as undo:
            undo.callback(self._end, CUT_OFF, kill=True)
            self.state = "opening"
            be_runner()
            _OPEN.add(self)
            if self._journal is not None:
                self._settings |= self._journal.open()
            self._open_pools()
            self.engine = Engine(self.plan, self._pools, tell=self._echo, failures=self.failures, **self._settings)
            works_alone = not all(pool.capabilities.holds_up for pool in self._pools.values())
            self._driver = EngineDriver(self.engine, runs_ahead=works_alone)
            self._watchers.start(self.engine.statistics)
            if self._journal is not None:
                self._journal.start(self.engine.statistics)
            if self._shows:
                display = self._display.enter_context(ProgressDisplay(self.engine.statistics))
                if sys.stderr is not None and sys.stderr.isatty():
                    self._display.enter_context(shown_by(display.put))
            if self._stopping:
                self.engine.stop(now=self._stopping == "now")
            self.engine.hold(paused=self._paused)
            self.state = "running"
            self._check_going()
            undo.pop_all()

    def _open_pools(self) -> None:
        """Open the pools; workers in other processes get the script, and the settings that hold here and now."""
        if (file := find_loading()) is not None:
            raise StateError(
                f"{file} starts a run while a worker loads it, which would never end: start it in a function that only "
                'the script itself calls, under `if __name__ == "__main__":`'
            )
        if not all(pool.capabilities.shares_memory for pool in self._made.values()):
            from papympi.script.describe import describe_script  # only other processes need it
            from papympi.script.state import read_state

            self.plan.program.preparation = describe_script(self.plan.program)
            self.plan.program.state = read_state(self.plan.program)
        for name, pool in self._made.items():
            self._pools[name] = pool
            with name_pool(name, pool, "open"):
                pool.open(self.plan.program)
            self._check_going()
        end_early()

    def deliveries(self) -> Iterator[Delivery]:
        """Yield what the engine hands over; end the session at the end, and whenever the iteration is given up."""
        if self._driver is None:
            raise StateError("this run has not begun")
        with ExitStack() as ending:
            ending.callback(self._end, CUT_OFF, kill=True)
            try:
                while (found := self._driver.next()) is not None:
                    self._watchers.check()
                    yield found
            except Exception as error:
                self._check_going()
                culprit = find_culprit(error, self._pools)
                if culprit is None:
                    raise
                raise culprit from error
            self._check_going()
            self._finished = True
            ending.pop_all()
        self.close()

    def pause(self, *, paused: bool) -> None:
        """Start nothing more until it is called again."""
        if self.state in ("closed", "foreign"):
            raise self._refuse(self._why or CLOSED)
        self._paused = paused
        if self.engine is not None:
            self.engine.hold(paused=paused)
        if self._driver is not None and not paused:
            self._driver.nudge()

    def stop(self, *, now: bool = False, doubt: bool = False) -> None:
        """Read no more, and with `now` start nothing more; with `doubt` failures from now on are not final."""
        if doubt and self._journal is not None:
            self._journal.doubt()
        self._stopping = "now" if now or self._stopping == "now" else "drain"
        if self.engine is not None:
            self.engine.stop(now=now)

    def close(self) -> None:
        """End the workers; running batches are given up unless the run is finished."""
        idle = self.engine is not None and self.engine.is_idle()
        self.leave(CLOSED, kill=not idle)

    def cancel(self) -> None:
        """End the workers at once, whatever they are doing."""
        self.leave(CANCELLED, kill=True)

    def disown(self) -> None:
        """Note that this process was forked from the one that owns the workers: it may neither use nor end them."""
        _OPEN.discard(self)
        if _take(self._ends):
            self.state = "foreign"
            self._tell("belongs to the process that this one was forked from")

    def list_notes(self) -> list[str]:
        """Return the notes of pools, watchers and the engine, and on failures."""
        ending = self.engine.list_notes() if self.engine is not None else []
        pools = [note for pool in self._pools.values() for note in getattr(pool, "notes", ())]
        return ending + pools + self._watchers.notes + self.failures.list_notes()

    def _refuse(self, why: str) -> StateError:
        return StateError(f"this run {why}; call run() again for another")

    def _check_going(self) -> None:
        """Raise a `StateError` if somebody has ended it meanwhile."""
        if self._why == ENDED and threading.current_thread().daemon:
            raise SystemExit  # as daemon threads end with the program, without a word
        if self._why:
            raise self._refuse(self._why)

    def _tell(self, why: str) -> None:
        self._why = why
        on_cut = self.on_cut and self.on_cut()
        if on_cut is not None:
            on_cut(f"this run {why}; call run() again for another")

    def leave(self, why: str, *, kill: bool) -> None:
        """End it, unless it is just opening its pools: then it notices by itself, before anything is computed."""
        if self._ends and not self._finished:
            self._why = self._why or why
        if self.state != "opening":
            self._end(why, kill=kill)

    def _end(self, why: str, *, kill: bool) -> None:
        """End it once; only who begins it calls this while it is opening."""
        if not _take(self._ends):
            return
        self.state = "closed"
        _OPEN.discard(self)
        if not self._finished:
            self._tell(self._why or why)
        if self._driver is None:
            self._let_go(kill=kill)
        else:
            self._driver.close(partial(self._let_go, kill=kill))

    def _let_go(self, *, kill: bool) -> None:
        """Close everything, even if one part raises."""
        with ExitStack() as stack:
            if self._journal is not None:
                stack.callback(self._journal.close)
            if self.engine is not None:
                stack.callback(self.failures.write)
                stack.callback(self._watchers.finish, self.engine.statistics(), self.failures.first)
            for name, pool in self._pools.items():
                stack.callback(_end_pool, name, pool, kill=kill)
            stack.callback(end_early)
            if self.engine is not None:
                stack.callback(self.engine.close)
            stack.callback(self._display.close)
            stack.callback(self._echo.close)


def _end_pool(name: str, pool: Pool, *, kill: bool) -> None:
    """Close or kill a pool; one that cannot be closed is killed."""
    with ExitStack() as otherwise:
        if not kill:
            otherwise.callback(pool.kill)
        with name_pool(name, pool, "kill" if kill else "close"):
            (pool.kill if kill else pool.close)()
        otherwise.pop_all()


def _take(tickets: list[str]) -> bool:
    """Take the ticket; return whether there was one."""
    try:
        tickets.pop()
    except IndexError:
        return False
    return True


@atexit.register
def _cancel_open() -> None:
    """End what the program has left open."""
    with ExitStack() as stack:
        for session in list(_OPEN):
            stack.callback(session.leave, ENDED, kill=True)


def _disown_open() -> None:
    """Leave the runs of the parent alone, in a child that was just forked."""
    for session in list(_OPEN):
        session.disown()


os.register_at_fork(after_in_child=_disown_open)
