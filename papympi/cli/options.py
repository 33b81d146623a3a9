"""Options that several sub-commands have."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import click

from papympi.model.telling import describe
from papympi.runner.loading import find_pipeline
from papympi.runner.options import RunOptions, parse_stride, read_options
from papympi.runner.pooling import parse_pool

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of the command line.

    Attributes:
        arguments: as they were given.
        is_process: it is what this process is there for.
        blocked: names of the plugins that `-p no:NAME` leaves out, before or behind the sub-command.
    """

    arguments: tuple[str, ...]
    is_process: bool = False
    blocked: list[str] = field(default_factory=list)


class Seconds(click.FloatRange):
    """A time in seconds, which ends."""

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        seconds = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value} is no number of seconds", param, ctx)
        return seconds


class FolderPath(click.Path):
    """A folder; an empty name is that of a shell variable that was never set, and not the current folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if value == "":
            self.fail("it names no folder", param, ctx)
        try:
            os.stat(value)  # noqa: PTH116 - only to ask the system whether this can be a name
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                self.fail(f"{describe(value)}: {error.strerror}", param, ctx)
        return super().convert(value, param, ctx)


def invocation(ctx: click.Context) -> Invocation:
    """Return the invocation that a context belongs to."""
    found = ctx.find_object(Invocation)
    assert found is not None
    return found


def join_options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return what gives a command several options, in this order."""

    def give(command: F) -> F:
        return reduce(lambda made, option: option(made), reversed(options), command)

    return give


def _block(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> None:
    """Take note of plugins to block."""
    for value in values:
        prefix, colon, name = value.partition(":")
        if prefix != "no" or not colon or not name:
            raise click.BadParameter(f"{value!r} is not of the form no:NAME", ctx=ctx, param=parameter)
        invocation(ctx).blocked.append(name)


block_plugins = click.option(
    "-p", "plugins", multiple=True, metavar="no:NAME", expose_value=False, callback=_block, is_eager=True,
    help="Leave out a plugin.",
)  # fmt: skip

target_argument = click.argument("target", metavar="FILE|MODULE[:GRAPH]")

plan_options = join_options(
    click.option(
        "--target", "targets", multiple=True, metavar="NODE",
        help="Compute this node, and only what it needs; may be repeated. Default: every node that no other one takes.",
    ),
    click.option(
        "--pool", "pools", multiple=True, metavar="NAME=BACKEND[:WORKERS]",
        help="Let a backend take the place of a pool: mpi=processes:4. *=inline is for all pools.",
    ),
    click.option(
        "--stride", "strides", multiple=True, metavar="NODE=N",
        help="Send at most N items of a node together; auto finds a good number.",
    ),
    click.option("--fusion/--no-fusion", default=None, help="Evaluate neighbouring nodes in one call where possible."),
)  # fmt: skip

"""The options that decide on the plan."""


def read_plan_options(target: str, pools: Iterable[str], strides: Iterable[str], **given: Any) -> RunOptions:
    """Return the options of a run, those of the command line before those of the environment and the file.

    Args:
        target: the pipeline; the file is looked for from there on.
        pools: values of `--pool`.
        strides: values of `--stride`.
        **given: other options by their names; `None` means not given.
    """
    overrides = {spec.name: spec for spec in map(parse_pool, pools)}
    merged = {name: stride for text in strides for name, stride in parse_stride(text).items()}
    return read_options(find_pipeline(target), overrides=overrides or None, strides=merged or None, **given)
