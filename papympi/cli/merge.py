"""`papympi merge`: the results of runs over shares of the inputs, as one.

It stands alone, as every sub-command does: only the one that is called is imported.
"""

from __future__ import annotations

from pathlib import Path

import click

from papympi.cli.options import block_plugins


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", required=True, metavar="FILE", type=click.Path(path_type=Path), help="Where they go.")
@block_plugins
def merge(*, folders: tuple[Path, ...], output: Path) -> None:
    """Join the results of runs with --shard, in the order of the inputs."""
    from papympi.jobs.merging import merge_shards

    count = merge_shards(folders, output)
    click.echo(f"{count} results: {output}", err=True)
