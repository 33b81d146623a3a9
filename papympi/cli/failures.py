"""`papympi failures`: what failed in a run that has a run directory.

It stands alone, as every sub-command does: only the one that is called is imported.
"""

from __future__ import annotations

from pathlib import Path

import click

from papympi.cli.options import block_plugins


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--node", metavar="NODE", help="Only what failed in this node.")
@click.option("--host", metavar="HOST", help="Only what failed on this host.")
@click.option("--exception", metavar="NAME", help="Only what failed with this exception.")
@block_plugins
def failures(*, folder: Path, node: str | None, host: str | None, exception: str | None) -> None:
    """List what failed in a run, in groups: also while it runs."""
    from papympi.monitors.groups import group_failures
    from papympi.monitors.report import format_count, format_groups
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
