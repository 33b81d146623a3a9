"""`papympi doctor`: what this installation can do, what is missing, and how to get it.

It stands alone, as every sub-command does: only the one that is called is imported.
"""

from __future__ import annotations

import click

from papympi.cli.options import block_plugins, invocation


@click.command()
@block_plugins
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Say what this installation can do, what is missing, and how to get it.

    Under mpiexec it also says which ranks are on which hosts.
    """
    from papympi.jobs.survey import survey

    found = survey(invocation(ctx).blocked)
    for title, rows in found.sections.items():
        click.echo(f"{title}")
        width = max((len(name) for name, _ in rows), default=0)
        for name, text in rows:
            click.echo(f"  {name:<{width}}  {text}")
    click.echo("Missing or wrong" if found.findings else "Nothing is missing.")
    for finding in found.findings:
        click.echo(f"  {finding.trouble}\n    -> {finding.remedy}")
