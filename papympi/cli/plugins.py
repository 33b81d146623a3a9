"""`papympi plugins`: what is loaded, and from where."""

from __future__ import annotations

import click

from papympi.cli.options import block_plugins, invocation


@click.command()
@block_plugins
@click.pass_context
def plugins(ctx: click.Context, /) -> None:
    """List the plugins, and where they come from."""
    from papympi.monitors.report import format_table
    from papympi.runner.plugins import list_plugins, plugin_manager

    records = [
        {
            "plugin": record.name,
            "from": record.distribution,
            "module": record.where,
            "hooks": "left out"
            if record.blocked
            else ", ".join(hook.removeprefix("papympi_") for hook in record.hooks),
        }
        for record in list_plugins(plugin_manager(invocation(ctx).blocked))
    ]
    click.echo(format_table(records, rows_limit=len(records)))
