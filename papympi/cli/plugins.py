"""`papympi plugins`: what is loaded, and from where.

It stands alone, as every sub-command does: only the one that is called is imported.
"""

from __future__ import annotations

import click

from papympi.cli.options import block_plugins, invocation


@click.command()
@block_plugins
@click.pass_context
def plugins(ctx: click.Context, /) -> None:
    """List the plugins, where they come from, and the options of `@node` that they add."""
    from papympi.monitors.report import format_table
    from papympi.runner.plugins import collect_offers, list_plugins, plugin_manager

    manager = plugin_manager(invocation(ctx).blocked)
    records = [
        {
            "plugin": record.name,
            "from": record.distribution,
            "module": record.where,
            "hooks": "left out"
            if record.blocked
            else ", ".join(hook.removeprefix("papympi_") for hook in record.hooks),
        }
        for record in list_plugins(manager)
    ]
    click.echo(format_table(records, rows_limit=len(records)))
    offers = collect_offers(manager, "papympi_node_options")
    if offers:
        options = [{"option of @node": name, "for": option.summary} for name, option in offers.items()]
        click.echo(f"\n{format_table(options, rows_limit=len(options))}")
