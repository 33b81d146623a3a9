"""`papympi replay`: call a node again with what it was given when it failed, and look where it fails."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

import click

from papympi.cli.exits import FAILED, FINE
from papympi.cli.options import FolderPath, block_plugins, invocation
from papympi.cli.words import show, tell
from papympi.script.interpreter import HASH_SEED, list_flags

_OURS: Final = str(Path(__file__).parent.parent)


@click.command()
@click.argument("folder", metavar="DIR", type=FolderPath())
@click.argument("node")
@click.argument("key")
@click.option("--pdb", "debugs", is_flag=True, help="Start the debugger where it fails, is too slow, or at Ctrl-C.")
@block_plugins
@click.pass_context
def replay(ctx: click.Context, /, *, folder: Path, node: str, key: str, debugs: bool) -> int:
    """Call a node again in this process with what it was given when it failed.

    It has the seed, the resources and the time-out that it had, and the setups are called first. KEY is the key of the
    item: 7, or 7,3 for child 3 of item 7. If Python itself crashes, it says where.
    """
    from papympi.jobs.repeating import repeat_item, settings_of
    from papympi.model.telling import tell_repr
    from papympi.model.tracebacks import tell_traceback
    from papympi.runner.launch import launched_ranks
    from papympi.workers.evaluation.attempt import attempt

    folder = folder.resolve()
    if invocation(ctx).is_process and not launched_ranks():
        _take_hash_seed(settings_of(folder)["hash_seed"], invocation(ctx).arguments)
    call = repeat_item(folder, node, tuple(map(int, re.findall(r"\d+", key))))
    with _telling_crashes():
        value, error = attempt(call)
    if error is None:
        show(f"it did not fail this time: {tell_repr(value)}")
        return FINE
    interrupted = isinstance(error, KeyboardInterrupt)
    if interrupted and not debugs:
        raise error
    trace = find_users_part(error.__traceback__)
    show(tell_traceback(error).rstrip("\n"))
    if debugs:
        import pdb

        pdb.post_mortem(trace)
    if interrupted:
        raise error
    return FAILED


def find_users_part(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without papympi's own frames before and behind those of users, if it has any of these."""
    frames = []
    part = trace
    while part is not None:
        frames.append(part)
        part = part.tb_next
    theirs = [number for number, each in enumerate(frames) if not each.tb_frame.f_code.co_filename.startswith(_OURS)]
    if not theirs:
        return trace
    found = None
    for each in reversed(frames[theirs[0] : theirs[-1] + 1]):
        found = TracebackType(found, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return found


def _take_hash_seed(seed: str, arguments: tuple[str, ...]) -> None:
    """Begin again with the hashes of texts that workers had, on which the order of sets depends."""
    if os.environ.get(HASH_SEED) == seed or not seed.isdecimal():
        return
    sys.stdout.flush()
    argv = [sys.executable, *list_flags(), "-m", "papympi", *arguments]
    with contextlib.suppress(OSError):
        os.execve(sys.executable, argv, {**os.environ, HASH_SEED: seed})  # noqa: S606 - this same program
    tell(f"papympi: warning: sets may have another order than at the workers; {HASH_SEED}={seed} would tell")


@contextlib.contextmanager
def _telling_crashes() -> Iterator[None]:
    """Let Python say at which line it was if it crashes within the block."""
    was_enabled = faulthandler.is_enabled()
    faulthandler.enable(2)
    try:
        yield
    finally:
        if not was_enabled:
            faulthandler.disable()
