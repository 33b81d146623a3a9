"""The commands for run directories: `papympi status`, `failures`, `cancel` and `merge`."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import click

from papympi.cli.options import FolderPath, block_plugins
from papympi.cli.words import show, tell


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
        show(run.count())
        return
    show(run.describe())
    while watch and not run.is_over():
        time.sleep(2)
        show("\n" + run.describe())


@click.command()
@click.argument("folder", metavar="DIR", type=FolderPath())
@click.option("--node", metavar="NODE", help="Only what failed in this node.")
@click.option("--host", metavar="HOST", help="Only what failed on this host.")
@click.option("--exception", metavar="NAME", help="Only what failed with this exception.")
@block_plugins
def failures(*, folder: Path, node: str | None, host: str | None, exception: str | None) -> None:
    """List what failed in a run, in groups: also while it runs."""
    from papympi.model.failures import FailureGroups
    from papympi.monitors.report import format_count, format_groups
    from papympi.stores.failures import read_failures

    grouping = FailureGroups()
    for failure in read_failures(folder):
        if (
            node in (None, failure.node)
            and exception in (None, type(failure.error).__name__)
            and (host is None or failure.worker.endswith(f" on {host}") or f" on {host} " in failure.worker)
        ):
            grouping.add(failure)
    groups = grouping.list_groups()
    count = sum(group.count for group in groups)
    show(f"{format_count(count)} {'failure' if count == 1 else 'failures'}")
    for part in format_groups(groups):
        show(part)
    if groups:
        first = min((group.first for group in groups), key=lambda failure: (failure.key, failure.node))
        key = ",".join(map(str, first.key))
        show(f"\nto repeat one: papympi replay {shlex.quote(str(folder))} {first.node} {key} --pdb")


@click.command()
@click.argument("folder", metavar="DIR", type=FolderPath())
@block_plugins
def cancel(*, folder: Path) -> None:
    """Stop a run: what is in flight is finished, and --resume goes on from there. A job of Slurm is cancelled."""
    from papympi.jobs.run_status import RunStatus

    show(RunStatus(folder).cancel())


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=FolderPath())
@click.option("--output", required=True, metavar="FILE", type=click.Path(path_type=Path), help="Where they go.")
@block_plugins
def merge(*, folders: tuple[Path, ...], output: Path) -> None:
    """Join the results of runs with --shard, in the order of the inputs."""
    from papympi.jobs.merging import merge_shards

    count = merge_shards(folders, output)
    tell(f"{count} results: {output}")
