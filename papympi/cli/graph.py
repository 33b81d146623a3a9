"""`papympi graph`: draw a pipeline."""

from __future__ import annotations

import shutil
import subprocess

import click

from papympi.cli.options import block_plugins, target_argument
from papympi.errors import PapympiError

FORMATS = ("text", "mermaid", "dot", "svg")


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
        click.echo(render_svg(draw_dot(found)), nl=False)
    else:
        draw = {"text": draw_text, "mermaid": draw_mermaid, "dot": draw_dot}[form]
        click.echo(draw(found).rstrip("\n"))


def render_svg(dot: str) -> str:
    """Return a picture of what is written in Graphviz's language.

    Raises:
        PapympiError: Graphviz is not installed, or has something to say.
    """
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
