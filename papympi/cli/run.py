"""`papympi run`: run a pipeline, show or write its results, say what failed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

import click

from papympi.cli.failure_options import failure_options
from papympi.cli.files import FailuresFile, file_options, place_output
from papympi.cli.interrupts import GRACE_S, Interrupts
from papympi.cli.journal_options import journal_options, lock_directory, note_settings, read_journal_options
from papympi.cli.options import block_plugins, invocation, plan_options, read_plan_options, target_argument
from papympi.cli.show import Show, Style
from papympi.cli.streams import own_input, own_output
from papympi.cli.verdict import Verdict
from papympi.cli.words import tell
from papympi.errors import OptionError, PapympiError
from papympi.formats.file_formats import in_style, list_suffixes
from papympi.formats.inputs import FORMS, parse_inputs
from papympi.formats.json_values import NonFinite
from papympi.formats.output_files import open_output
from papympi.formats.tables import WriteStyle
from papympi.jobs.time_limit import find_time_left, keep_to_limit
from papympi.model.failure_limit import FailureLimit
from papympi.model.item import Failure
from papympi.monitors.progress import ProgressDisplay
from papympi.runner.early import early_template
from papympi.runner.journal_options import JournalOptions
from papympi.runner.launch import launched_ranks, read_drain_signal, run_under_mpiexec
from papympi.runner.loading import LoadedGraph, load_graph
from papympi.runner.options import RunOptions, check_bytes
from papympi.runner.plugins import collect_offers, plugin_manager
from papympi.runner.run import Run
from papympi.runner.run import run as start_run
from papympi.workers.evaluation.recorder import shown_by


@dataclass(frozen=True, slots=True)
class Request:
    """What one call of `papympi run` asks for; the fields are its options."""

    target: str
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    pools: tuple[str, ...]
    strides: tuple[str, ...]
    fusion: bool | None
    output: str
    unordered: bool
    admission: int | None
    admission_bytes: int | None
    seed: int | None
    max_failures: FailureLimit | None
    accept_failures: FailureLimit | None
    progress: bool | None
    grace_s: float | None
    encoding: str
    non_finite: NonFinite
    spreadsheet: bool
    blocked: tuple[str, ...]
    journal: JournalOptions | None = None


def _read_bytes(ctx: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Return how many bytes a size means."""
    try:
        return None if value is None else check_bytes(value)
    except OptionError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=parameter) from None


def _check_output(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str:
    """Return where results go, "" if that was not said."""
    if value == "":
        raise click.BadParameter("it names no file", ctx, parameter)
    return value or ""


_MOST_RANKS: Final = 100_000
"""More no launcher starts; some take a number that is far too great for a small one."""


@click.command(epilog="\b\nVALUE is one of\n" + FORMS)
@target_argument
@click.option(
    "--input", "inputs", multiple=True, metavar="NAME=VALUE", help="Give an input its items; may be repeated."
)
@plan_options
@click.option(
    "--output",
    default=None,
    callback=_check_output,
    metavar="FILE|-",
    help=f"Write results to a {list_suffixes('or')} file, or as JSON lines to stdout (-). Default: values to stdout.",
)
@file_options
@click.option("--unordered", is_flag=True, help="Take results as they come, not in the order of the inputs.")
@click.option("--admission", type=click.IntRange(min=1), metavar="N", help="At most N items in the graph at once.")
@click.option(
    "--admission-bytes",
    metavar="SIZE",
    callback=_read_bytes,
    help="At most about SIZE bytes in the graph at once: 4000000000, '4 GB'. Default: a quarter of the memory.",
)
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="What the items' random seeds are derived from.")
@failure_options
@click.option(
    "--ranks", type=click.IntRange(1, _MOST_RANKS), metavar="N", help="Start mpiexec with N ranks and run there."
)
@click.option("--progress/--no-progress", default=None, help="Show how far the run is.")
@journal_options
@block_plugins
@click.pass_context
def run(ctx: click.Context, /, *, ranks: int | None, **asked: Any) -> int:
    """Run a pipeline.

    Failures do not end the run, and go to OUTPUT.failures.jsonl, or failures.jsonl. Ctrl-C or SIGTERM once finishes the
    batches that have begun, for the time of --grace; twice ends at once. With --run-dir what is finished is kept, and
    the same command with --resume goes on from it.
    """  # fmt: skip
    journal = read_journal_options(ctx, asked)
    if ranks is None:
        request = Request(**asked, blocked=tuple(invocation(ctx).blocked), journal=journal)
        with own_output(lasting=invocation(ctx).is_process) as stdout:
            return execute(request, stdout)
    if under := launched_ranks():
        raise click.UsageError(f"--ranks {ranks} starts a launcher of its own, but this runs under one ({under} ranks)")
    grace_s = GRACE_S if journal is not None and asked["grace_s"] is None else None
    return run_under_mpiexec(ranks, strip_ranks(invocation(ctx).arguments), grace_s)


def strip_ranks(arguments: tuple[str, ...]) -> list[str]:
    """Return the arguments without `--ranks N`."""
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--ranks":
            next(words, None)
        elif not word.startswith("--ranks="):
            kept.append(word)
    return kept


def execute(request: Request, stdout: TextIO) -> int:
    """Run what was asked for and return the exit code."""
    options = read_plan_options(
        request.target,
        request.pools,
        request.strides,
        fusion=request.fusion,
        admission=request.admission,
        admission_bytes=request.admission_bytes,
        seed=request.seed,
        max_failures=request.max_failures,
        accept_failures=request.accept_failures,
        progress=request.progress,
        block=request.blocked or None,
    )
    with contextlib.nullcontext() if launched_ranks() else early_template(request.target, options):
        return _execute(request, options, load_graph(request.target), stdout)


def _execute(request: Request, options: RunOptions, loaded: LoadedGraph, stdout: TextIO) -> int:
    """Run a pipeline that is loaded."""
    manager = plugin_manager(options.block)
    reads = any(setting.partition("=")[2] == "-" for setting in request.inputs)
    with own_input() if reads else contextlib.nullcontext():
        readers = collect_offers(manager, "papympi_readers") if request.inputs else None
        inputs = parse_inputs(request.inputs, readers, request.encoding)
    with contextlib.ExitStack() as stack:
        if request.journal is not None:
            journal = stack.enter_context(lock_directory(note_settings(request.journal, options)))
            request = replace(request, journal=journal, output=place_output(journal, request.output))
        writer = None
        if request.output not in ("", "-"):
            style = WriteStyle(request.non_finite, request.spreadsheet)
            writers = in_style(collect_offers(manager, "papympi_writers"), style)
            writer = stack.enter_context(open_output(Path(request.output), writers))
        session = stack.enter_context(open_run(request, loaded, options, inputs))
        failures_file = FailuresFile(request.output, request.journal)
        failures_file.give(session)
        show = Show(style_of(request.output, len(session.plan.targets)), stdout, writer, request.non_finite)
        verdict = Verdict(session, show, request.output, request.journal, failures_file, options.accept_failures)
        return take_results(verdict, request, options)


def open_run(request: Request, loaded: LoadedGraph, options: RunOptions, inputs: dict[str, Any]) -> Run:
    """Return the run; nothing is computed yet."""
    return start_run(
        inputs,
        graph=loaded.graph,
        targets=request.targets or None,
        errors="keep",
        ordered=not request.unordered,
        options=options,
        path=loaded.path,
        by_value=(),  # nothing in this `__main__` is the user's
        loads=loaded.module,
        journal=request.journal,
    )


def style_of(output: str, targets: int) -> Style:
    """Return what goes to standard output: tables beside a file, values of one target, or rows."""
    if output == "-":
        return "rows"
    if output:
        return "tables"
    return "values" if targets == 1 else "rows"


def take_results(verdict: Verdict, request: Request, options: RunOptions) -> int:
    """Take every result, say how it went, and return the exit code; failures are kept by the run."""
    session, show, journal = verdict.session, verdict.show, request.journal
    drain = read_drain_signal() if journal is not None else None
    stop = partial(session.stop, now=True)  # whoever sends a signal, or ends the job, does not wait for all rows
    interrupts = Interrupts(stop, session.cancel, request.grace_s, drain)
    try:
        with interrupts, limit_time(session, journal), show_progress(session, show, progress=options.progress):
            for result in session.results():
                if not isinstance(result, Failure):
                    show.take(result)
    except PapympiError:
        if show.count or session.failures:
            verdict.conclude("ended early; so far:")
        raise
    except KeyboardInterrupt:
        if not interrupts.code:
            raise
    return verdict.end(interrupts.code)


def limit_time(session: Run, journal: JournalOptions | None) -> AbstractContextManager[None]:
    """Return what stops a run that is kept before the time of its job is over."""
    seconds = None
    if journal is not None:
        seconds = find_time_left() if journal.within_s is None else journal.within_s
    stop = partial(session.stop, now=True)
    return keep_to_limit(session.plan, session.statistics, stop, seconds, lambda text: tell(f"papympi: {text}"))


@contextlib.contextmanager
def show_progress(session: Run, show: Show, *, progress: bool | None) -> Iterator[None]:
    """Show how far the run is while the block lasts; lines for the same terminal go above it."""
    if progress is False:
        yield
        return
    with contextlib.ExitStack() as stack:
        display = stack.enter_context(ProgressDisplay(session.statistics))
        if sys.stderr.isatty():
            stack.enter_context(shown_by(display.put))
            if show.stream.isatty():
                show.put = display.put
        yield
