"""Options that say how many failures a run may have: so many end it, so many are accepted.

It stands alone because `papympi run` has many options already.
"""

from __future__ import annotations

import click

from papympi.cli.options import F
from papympi.errors import OptionError
from papympi.model.failure_limit import FailureLimit


def _read_limit(ctx: click.Context, parameter: click.Parameter, value: str | None) -> FailureLimit | None:
    """Return what a number of failures, or a share such as 5%, means."""
    try:
        return None if value is None else FailureLimit.parse(value)
    except OptionError as error:
        raise click.BadParameter(str(error), ctx, parameter) from None


def failure_options(command: F) -> F:
    """Give a command the options."""
    for name, text in (
        ("--accept-failures", "Exit with 0 although so many calls, or P% of a node's, have failed."),
        ("--max-failures", "End the run early when more calls, or more than P% of a node's, have failed."),
    ):
        command = click.option(name, callback=_read_limit, metavar="N|P%", help=text)(command)
    return command
