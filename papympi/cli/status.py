"""`papympi status`: how far a run is, from its events alone.

It stands alone, as every sub-command does: only the one that is called is imported.
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from papympi.cli.options import block_plugins


@click.command()
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=Path())
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
