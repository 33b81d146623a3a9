"""What users call: `run`, which puts a graph to work, and the `Run` that yields its results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Self
from weakref import WeakMethod

from papympi.contracts import Statistics
from papympi.errors import OptionError, StateError
from papympi.model.graph import Graph
from papympi.model.item import Failure, Result
from papympi.model.module_graph import find_callers_graph
from papympi.monitors.report import Summary
from papympi.plan.compile import PlanSettings, compile_plan
from papympi.plan.plan import Stride
from papympi.runner.early import early_server
from papympi.runner.feeds import make_feeds
from papympi.runner.hooks import Watchers, compile_nodes
from papympi.runner.journal_options import JournalOptions
from papympi.runner.launch import choose_default_pool
from papympi.runner.options import RunOptions, override, read_options
from papympi.runner.plugins import plugin_manager
from papympi.runner.pooling import Given, open_pools
from papympi.runner.reading import Errors, Refusal, Tee, explain_busy, read_results, read_values, refuse_single
from papympi.runner.session import Session, prepare_journal
from papympi.script.generators import warn_generators
from papympi.workers.host import share_memory


class Run:
    """One execution of a graph: an iterator over the values of its one target, and a context manager.

    Nothing is computed before the first item is asked for. Iterate it, or `results()`, or `tee()`: one of them, in one
    thread at a time. Leaving the context, exhausting it, or forgetting it ends its workers. What is asked of it at the
    wrong time is answered with a `StateError`: it never seems to have ended when it was cut off.

    Attributes:
        plan: what is run.
    """

    def __init__(self, session: Session, errors: Errors) -> None:
        self.plan = session.plan
        self._session = session
        self._read = False
        several = refuse_single(self.plan)
        self._lists: Iterator[list[Any]] = Refusal(several) if several else read_values(session, errors)
        self._values: list[Any] = []
        self._rest = iter(self._values)
        self._entries: Iterator[Result | Failure] = read_results(session, errors)
        session.on_cut = WeakMethod(self._cut_off)

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(self._rests())

    def _rests(self) -> Iterator[Iterator[Any]]:
        """Yield what is left of the current list of values, and fetch the next list when it is used up."""
        with suppress(StopIteration):
            while True:
                rest = self._rest
                yield rest
                if rest is self._rest:  # else `next` has gone on meanwhile
                    self._advance()

    def __next__(self) -> Any:
        while True:
            for value in self._rest:
                return value
            self._advance()

    def _advance(self) -> None:
        """Go on to the next values."""
        try:
            self._values = next(self._lists)
        except ValueError as error:
            raise explain_busy(error) from None
        self._rest = iter(self._values)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._session.cancel()

    def results(self) -> Iterator[Result | Failure]:
        """Return an iterator over the `Result`s of every target, and the `Failure`s with `errors="keep"`.

        Raises:
            StateError: the run is being iterated already, or is closed.
        """
        self._session.check_new()
        if self._read:
            raise StateError("the results of this run are being read already; call run() again for another")
        self._read = True
        self._lists = Refusal("this run is read through its results(), and cannot be iterated as well")
        return _Results(self)

    def tee(self, most: int = 10_000) -> dict[str, Iterator[Any]]:
        """Return an iterator over the values of each target, by name; what one leaves is kept while others go on.

        A reader for which more than `most` values of another one had to be kept raises a `StateError` that names it.
        """
        return Tee(self.results(), [target.node for target in self.plan.targets], most).readers()

    @property
    def failures(self) -> list[Failure]:
        """The first 1000, wherever in the graph, in the order in which they came back; `summary` counts all of them."""
        return list(self._session.failures.first)

    def write_failures(self, path: str | Path) -> None:
        """Have all failures, if there are any, written to a file, as JSON lines in input order, when the run ends.

        Raises:
            StateError: the run has begun.
        """
        self._session.check_new()
        self._session.failures.files.setdefault(Path(path).resolve(), False)

    def statistics(self) -> Statistics:
        """Return how far the run is; may be called from any thread."""
        engine = self._session.engine
        return engine.statistics() if engine is not None else Statistics({})

    @property
    def summary(self) -> Summary:
        """How it went so far: counts of each node, totals, equal failures in groups; `str()` of it is for people."""
        session, statistics = self._session, self.statistics()
        results = max(0, statistics.delivered - session.misses)
        groups, notes = session.failures.list_groups(), session.list_notes()
        return Summary(replace(statistics, delivered=results), groups, tuple(notes))

    def pause(self) -> None:
        """Start nothing more until `resume()`: no source is pulled and no worker gets a batch.

        Running batches are finished, results that are there are still handed over, and then `next()` waits. Of a
        source that takes its time, rows that were asked for already still come in. A run that has not begun begins
        paused; a second pause changes nothing. May be called from another thread or a signal handler.

        Raises:
            StateError: the run has ended.
        """
        self._session.pause(paused=True)

    def resume(self) -> None:
        """Go on after `pause()`; changes nothing if the run is not paused. From any thread or signal handler.

        Raises:
            StateError: the run has ended.
        """
        self._session.pause(paused=False)

    def stop(self, *, now: bool = False, doubt: bool = False) -> None:
        """Read no more rows; those that were read go through the graph, as if the inputs ended here, then it ends.

        With a run directory what needs the end of the inputs is left to the resumed run. A node that makes a thousand
        children more of one item seems to have no end: its generators are given up, and the summary says so.

        It ends a pause. May be called from another thread or a signal handler; of a run that has ended it is harmless.

        Args:
            now: start nothing more at all: of what was read only running batches are finished and handed over.
            doubt: the scheduler is ending the job, and items may fail because of that: failures from now on, and those
                of the last seconds, are tried again when the run is resumed.
        """
        self._session.stop(now=now, doubt=doubt)

    def cancel(self) -> None:
        """End the run and its workers at once, whatever they are doing; who waits in `next()` gets a `StateError`.

        May be called from another thread or a signal handler; of a run that has ended it is harmless. Called by a
        signal handler, or by a function that the runner itself evaluates, it takes effect when that has returned.
        """
        self._session.cancel()

    def close(self) -> None:
        """End the run and its workers; running batches are given up unless the run is finished."""
        self._session.close()

    def _cut_off(self, why: str) -> None:
        """Let whoever reads on get the reason why the run was cut off."""
        self._lists = self._entries = Refusal(why)
        self._values.clear()


class _Results(Iterator[Result | Failure]):
    """The results of a run; keeps the run, so that its workers last as long as somebody reads."""

    def __init__(self, owner: Run) -> None:
        self._owner = owner

    def __next__(self) -> Result | Failure:
        try:
            return next(self._owner._entries)  # noqa: SLF001 - the run's other half
        except ValueError as error:
            raise explain_busy(error) from None


def run(
    inputs: Mapping[str, Iterable[Any]] | None = None,
    *,
    graph: Graph | None = None,
    targets: Sequence[str | Callable[..., Any]] | None = None,
    pools: Mapping[str, Given] | None = None,
    errors: Errors = "raise",
    ordered: bool = True,
    admission: int | None = None,
    admission_bytes: int | str | None = None,
    max_failures: int | str | None = None,
    progress: bool = False,
    seed: int | None = None,
    strides: Mapping[str, Stride] | None = None,
    fusion: bool | None = None,
    by_value: Collection[str] = ("__main__",),
    path: Collection[str] = (),
    loads: str = "",
    options: RunOptions | None = None,
    journal: str | Path | JournalOptions | None = None,
    resume: bool = False,
) -> Run:
    """Run a graph lazily: nothing is computed before the first result is asked for.

    Args:
        inputs: for each input of the graph its iterable, by name; may be endless. Read in the thread that asks for
            results; one that waits (a file, a queue, a generator that sleeps) by another, in a copy of its context.
        graph: default: that of the module that calls it.
        targets: nodes whose results are wanted; default: the sinks.
        pools: for names of pools what they are: `"processes:4"`, a table of options, a pool, or any
            `concurrent.futures.Executor`. In a table `initializer` is a function that every worker process calls first,
            with `initargs`.
        errors: "raise": stop at the first failure; "keep": yield `Failure`s in their places; "drop": leave them out.
        ordered: yield results in input order; else as they come.
        admission: how many items may be in the graph at once; default: enough to keep the workers busy.
        admission_bytes: about how many bytes they may have, e.g. "4 GB"; default: a quarter of the memory there is.
        max_failures: how many failures, or which share of a node's calls ("5%"), are let pass before a `FailuresError`.
        progress: show how far the run is, on standard error.
        seed: what the items' seeds (`papympi.seed`) are derived from; default: 0.
        strides: for nodes how many items make a batch, instead of what they declare.
        fusion: adjacent nodes are evaluated in one call where they can be.
        by_value: modules whose functions travel by value, because workers must not import them.
        path: folders that come first in the workers' `sys.path`.
        loads: a module that workers load first, as the command line has loaded its pipeline file.
        options: what stands for all runs; default: read from the file and the environment.
        journal: a run directory, in which finished results are kept; `JournalOptions` say more than its name.
        resume: go on from what an earlier run has left in the run directory.

    Raises:
        GraphError: the graph cannot run; says where and what to do.
        InputError: an input is missing, unknown, or of another length than what it is joined with.
        OptionError: an option has an impossible value.
        PoolError: there is no such pool.
        JournalError: the first result is asked for, and the run directory cannot be used; says why.
    """
    options = read_options() if options is None else options
    graph = (find_callers_graph() if graph is None else graph).assemble(inputs or {}, targets or ())
    if errors not in {"raise", "keep", "drop"}:
        raise OptionError(f"errors={errors!r}: it is 'raise', 'keep' or 'drop'")
    options = override(options, admission=admission, admission_bytes=admission_bytes)
    options = override(options, max_failures=max_failures, seed=seed)
    with early_server(graph, options, pools or {}):
        manager = plugin_manager(options.block)
        given = dict(inputs or {})
        settings = PlanSettings(
            default_pool=choose_default_pool(options.pool),
            strides={**options.strides, **(strides or {})},
            fusion=options.fusion if fusion is None else fusion,
            journal=journal is not None,
            by_value=tuple(by_value),
            path=tuple(path),
            seed=options.seed,
            loads=loads,
        )
        names = None if targets is None else [graph.name_of(target) for target in targets]
        plan = compile_plan(compile_nodes(manager, graph), names, given, settings)
        manager.hook.papympi_rewrite(plan=plan)
        feeds, length = make_feeds(plan, given)
        made = open_pools(plan.pools, manager, tables=options.pools, given=pools, overrides=options.overrides)
        warn_generators(plan, [name for name, pool in made.items() if not pool.capabilities.holds_up])
    session = Session(
        plan,
        made,
        Watchers(manager, plan),
        progress=progress,
        journal=prepare_journal(journal, plan, graph, given, resume=resume),
        feeds=feeds,
        length=length,
        ordered=ordered,
        admission=options.admission,
        admission_bytes=options.admission_bytes or share_memory(),
        fails_fast=errors == "raise",
        max_failures=options.max_failures,
    )
    return Run(session, errors)
