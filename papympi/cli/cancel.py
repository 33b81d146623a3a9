"""`papympi cancel`: stop a run that has a run directory.

It stands alone, as every sub-command does: only the one that is called is imported.
"""

from __future__ import annotations

from pathlib import Path

import click

from papympi.cli.options import block_plugins


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@block_plugins
def cancel(*, folder: Path) -> None:
    """Stop a run: what is in flight is finished, and --resume goes on from there. A job of Slurm is cancelled."""
    from papympi.jobs.run_status import RunStatus

    click.echo(RunStatus(folder).cancel())
