"""The commands for run directories: `papympi status`, `failures`, `replay`, `cancel` and `merge`."""

from __future__ import annotations

import re
import time
from pathlib import Path

import click

from papympi.cli.exits import FAILED, FINE
from papympi.cli.options import FolderPath, block_plugins

_OURS = str(Path(__file__).parent.parent)


@click.command()
@click.argument("folder", metavar="[DIR]", type=FolderPath(), default=Path())
@click.option("--watch", is_flag=True, help="Show it again and again until the run is over.")
@click.option("--count", is_flag=True, help="Print only how much is finished: a number that grows with the work.")
@block_plugins
def status(*, folder: Path, watch: bool, count: bool) -> None:
    """Say how far a run is: progress and rate of each node, time left, failures, and the state of its job."""
    from papympi.jobs.run_status import RunStatus

    run = RunStatus(folder)
    if count:
        click.echo(run.count())
        return
    click.echo(run.describe())
    while watch and not run.is_over():
        time.sleep(2)
        click.echo("\n" + run.describe())


@click.command()
@click.argument("folder", metavar="DIR", type=FolderPath())
@click.option("--node", metavar="NODE", help="Only what failed in this node.")
@click.option("--host", metavar="HOST", help="Only what failed on this host.")
@click.option("--exception", metavar="NAME", help="Only what failed with this exception.")
@block_plugins
def failures(*, folder: Path, node: str | None, host: str | None, exception: str | None) -> None:
    """List what failed in a run, in groups: also while it runs."""
    from papympi.monitors.report import format_count, format_groups, group_failures
    from papympi.stores.failures import read_failures

    found = [
        failure
        for failure in read_failures(folder)
        if node in (None, failure.node)
        and exception in (None, type(failure.error).__name__)
        and (host is None or failure.worker.endswith(f" on {host}") or f" on {host} " in failure.worker)
    ]
    found.sort(key=lambda failure: (failure.key, failure.node))
    click.echo(f"{format_count(len(found))} {'failure' if len(found) == 1 else 'failures'}")
    for part in format_groups(group_failures(found)):
        click.echo(part)
    if found:
        key = ",".join(map(str, found[0].key))
        click.echo(f"\nto repeat one: papympi replay {folder} {found[0].node} {key} --pdb")


@click.command()
@click.argument("folder", metavar="DIR", type=FolderPath())
@click.argument("node")
@click.argument("key")
@click.option("--pdb", "debugs", is_flag=True, help="Start the debugger where it fails.")
@block_plugins
def replay(*, folder: Path, node: str, key: str, debugs: bool) -> int:
    """Call a node again in this process with what it was given when it failed.

    KEY is the key of the item: 7, or 7,3 for child 3 of item 7.
    """
    from papympi.jobs.repeating import repeat_item
    from papympi.model.telling import tell_repr
    from papympi.model.tracebacks import tell_traceback
    from papympi.workers.evaluation.attempt import attempt

    numbers = re.findall(r"\d+", key)
    call = repeat_item(folder.resolve(), node, tuple(map(int, numbers)))
    value, error = attempt(call)
    if error is None:
        click.echo(f"it did not fail this time: {tell_repr(value)}")
        return FINE
    if isinstance(error, KeyboardInterrupt | SystemExit):
        raise error
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    click.echo(tell_traceback(error), nl=False)
    if debugs:
        import pdb

        pdb.post_mortem(trace)
    return FAILED


@click.command()
@click.argument("folder", metavar="DIR", type=FolderPath())
@block_plugins
def cancel(*, folder: Path) -> None:
    """Stop a run: what is in flight is finished, and --resume goes on from there. A job of Slurm is cancelled."""
    from papympi.jobs.run_status import RunStatus

    click.echo(RunStatus(folder).cancel())


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=FolderPath())
@click.option("--output", required=True, metavar="FILE", type=click.Path(path_type=Path), help="Where they go.")
@block_plugins
def merge(*, folders: tuple[Path, ...], output: Path) -> None:
    """Join the results of runs with --shard, in the order of the inputs."""
    from papympi.jobs.merging import merge_shards

    count = merge_shards(folders, output)
    click.echo(f"{count} results: {output}", err=True)
