"""The options of `papympi run` that keep a run in a directory and go on from it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import click

from papympi.cli.options import FolderPath, Seconds, invocation, join_options
from papympi.cli.words import tell
from papympi.runner.journal_options import JournalOptions
from papympi.runner.launch import choose_default_pool
from papympi.runner.options import RunOptions
from papympi.script.interpreter import read_hash_seed
from papympi.stores.lock import Lock
from papympi.stores.rundir import RunDirectory

journal_options = join_options(
    click.option(
        "--run-dir", "folder", type=FolderPath(), metavar="DIR",
        help="Keep what is finished in this folder, with results, failures and events.",
    ),
    click.option("--resume", is_flag=True, help="Go on from what is in the run directory, if there is anything."),
    click.option("--retry-failed", is_flag=True, help="With --resume: try failed items again."),
    click.option("--force", is_flag=True, help="With --resume: use old results although code or inputs have changed."),
    click.option(
        "--grace", "grace_s", type=Seconds(), metavar="SECONDS",
        help="After Ctrl-C or SIGTERM, wait this long for running batches. Default: 30.",
    ),
    click.option(
        "--within", "within_s", type=Seconds(), metavar="SECONDS",
        help="Start nothing that usually takes longer than is left of this time. Default: what Slurm gives the job.",
    ),
    click.option(
        "--shard", metavar="I/N", help="Work on items I, I+N, I+2N, ... of the inputs only; papympi merge joins them."
    ),
)  # fmt: skip
"""The options of a run directory."""


@contextlib.contextmanager
def lock_directory(journal: JournalOptions) -> Iterator[JournalOptions]:
    """Hold the lock of a run directory for as long as something is written into it."""
    RunDirectory(journal.folder).make()
    lock = Lock(journal.folder)
    note = lock.take()
    try:
        if note:
            _warn(note)
        yield replace(journal, locked=True, warn=_warn)
    finally:
        lock.release()


def note_settings(journal: JournalOptions, options: RunOptions) -> JournalOptions:
    """Return how a run is kept, with what it goes by wherever that was set: `papympi replay` does the same."""
    settings = {
        "seed": options.seed,
        "strides": dict(options.strides),
        "fusion": options.fusion,
        "pool": choose_default_pool(options.pool),
        "hash_seed": read_hash_seed(),
    }
    return replace(journal, options={**journal.options, "settings": settings})


def _warn(text: str) -> None:
    tell(f"papympi: warning: {text}")


def read_journal_options(ctx: click.Context, asked: dict[str, Any]) -> JournalOptions | None:
    """Return how a run is to be kept, `None` if it is not; takes its options out of those that were asked for."""
    given = {name: asked.pop(name) for name in ("folder", "resume", "retry_failed", "force", "within_s", "shard")}
    if given["folder"] is None:
        for name, value in given.items():
            if value:
                option = {"within_s": "--within"}.get(name, f"--{name.replace('_', '-')}")
                raise click.UsageError(f"{option} needs a run directory; add --run-dir DIR", ctx)
        return None
    shard = given.pop("shard")
    told = {name: value for name, value in asked.items() if value not in (None, (), "")}
    arguments = invocation(ctx).arguments
    return JournalOptions(**given, shard=_parse_shard(ctx, shard), command=("papympi", *arguments), options=told)


def _parse_shard(ctx: click.Context, text: str | None) -> tuple[int, int] | None:
    """Return the numbers of I/N."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not int(match[1]) < int(match[2]):
        raise click.UsageError(f"--shard {text}: it is I/N, with I from 0 to N-1, e.g. 0/4", ctx)
    return int(match[1]), int(match[2])
