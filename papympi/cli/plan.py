"""`papympi plan`: how a pipeline would run.

It stands alone, as every sub-command does: only the one that is called is imported.
"""

from __future__ import annotations

import click

from papympi.cli.options import block_plugins, invocation, plan_options, read_plan_options, target_argument


@click.command()
@target_argument
@plan_options
@block_plugins
@click.pass_context
def plan(
    ctx: click.Context,
    /,
    *,
    target: str,
    targets: tuple[str, ...],
    pools: tuple[str, ...],
    strides: tuple[str, ...],
    fusion: bool | None,
) -> None:
    """Show the stages of a pipeline and why each ends where it does."""
    from papympi.plan.compile import PlanSettings, compile_plan
    from papympi.plan.explain import explain
    from papympi.runner.loading import load_graph
    from papympi.runner.plugins import plugin_manager
    from papympi.runner.pooling import open_pools

    loaded = load_graph(target)
    options = read_plan_options(pools, strides, fusion=fusion, block=tuple(invocation(ctx).blocked) or None)
    settings = PlanSettings(default_pool=options.pool or "processes", strides=options.strides, fusion=options.fusion)
    made = compile_plan(loaded.graph, targets or None, None, settings)
    open_pools(made.pools, plugin_manager(options.block), tables=options.pools, overrides=options.overrides)
    click.echo(explain(made))
