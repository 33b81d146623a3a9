"""`papympi replay`: one item that failed, again, in this process."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import click

from papympi.cli.exits import FAILED, FINE
from papympi.cli.options import block_plugins

_OURS = str(Path(__file__).parent.parent)


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("node")
@click.argument("key")
@click.option("--pdb", "debugs", is_flag=True, help="Start the debugger where it fails.")
@block_plugins
def replay(*, folder: Path, node: str, key: str, debugs: bool) -> int:
    """Call a node again in this process with what it was given when it failed.

    KEY is the key of the item: 7, or 7,3 for child 3 of item 7.
    """
    from papympi.jobs.repeating import repeat_item
    from papympi.workers.attempt import attempt

    numbers = re.findall(r"\d+", key)
    call = repeat_item(folder.resolve(), node, tuple(map(int, numbers)))
    value, error = attempt(call)
    if error is None:
        click.echo(f"it did not fail this time: {value!r}")
        return FINE
    if isinstance(error, KeyboardInterrupt | SystemExit):
        raise error
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    click.echo("".join(traceback.format_exception(type(error), error, trace)), nl=False)
    if debugs:
        import pdb

        pdb.post_mortem(trace)
    return FAILED
