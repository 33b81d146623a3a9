"""The commands that show what there is: `papympi plan` and `graph`, and of the installation `plugins` and `doctor`."""

from __future__ import annotations

import shutil
import subprocess

import click

from papympi.cli.options import block_plugins, invocation, plan_options, read_plan_options, target_argument
from papympi.cli.words import show
from papympi.errors import PapympiError

FORMATS = ("text", "mermaid", "dot", "svg")


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
    options = read_plan_options(target, pools, strides, fusion=fusion, block=tuple(invocation(ctx).blocked) or None)
    settings = PlanSettings(default_pool=options.pool or "processes", strides=options.strides, fusion=options.fusion)
    made = compile_plan(loaded.graph, targets or None, None, settings)
    open_pools(made.pools, plugin_manager(options.block), tables=options.pools, overrides=options.overrides)
    show(explain(made))


@click.command()
@target_argument
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="How to draw it.")
@block_plugins
def graph(*, target: str, form: str) -> None:
    """Draw the graph of a pipeline."""
    from papympi.plan.draw import draw_dot, draw_mermaid, draw_text
    from papympi.runner.loading import load_graph

    found = load_graph(target).graph
    found.check()
    if form == "svg":
        show(render_svg(draw_dot(found)).rstrip("\n"))
    else:
        draw = {"text": draw_text, "mermaid": draw_mermaid, "dot": draw_dot}[form]
        show(draw(found).rstrip("\n"))


def render_svg(dot: str) -> str:
    """Return a picture of what is written in Graphviz's language."""
    program = shutil.which("dot")
    if program is None:
        raise PapympiError(
            "--format svg needs Graphviz, and its program `dot` is not installed: apt install graphviz, "
            "brew install graphviz or conda install graphviz; --format mermaid needs nothing"
        )
    done = subprocess.run([program, "-Tsvg"], input=dot, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PapympiError(f"Graphviz cannot draw this: {done.stderr.strip()}")
    return done.stdout


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
            "hooks": "left out" if record.blocked else ", ".join(record.hooks).replace("papympi_", ""),
        }
        for record in list_plugins(manager)
    ]
    show(format_table(records, rows_limit=len(records)))
    offers = collect_offers(manager, "papympi_node_options")
    if offers:
        options = [{"option of @node": name, "for": option.summary} for name, option in offers.items()]
        show(f"\n{format_table(options, rows_limit=len(options))}")


@click.command()
@click.option("--launcher", "starts", is_flag=True, help="Only say, a word on a line, what starts the ranks of a job.")
@block_plugins
@click.pass_context
def doctor(ctx: click.Context, /, *, starts: bool) -> None:
    """Say what this installation can do, what is missing, and how to get it.

    Under mpiexec it also says which ranks are on which hosts.
    """
    if starts:
        from papympi.jobs.starting import find_start

        show("\n".join(find_start()))
        return
    from papympi.jobs.survey import survey

    found = survey(invocation(ctx).blocked)
    for title, rows in found.sections.items():
        show(title)
        width = max((len(name) for name, _ in rows), default=0)
        for name, text in rows:
            show(f"  {name:<{width}}  {text}")
    show("Missing or wrong" if found.findings else "Nothing is missing.")
    for trouble, remedy in found.findings:
        show(f"  {trouble}\n    -> {remedy}")
