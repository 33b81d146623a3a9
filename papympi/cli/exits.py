"""The exit codes, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final

import click

from papympi.errors import FailuresError, LoadError, PapympiError

FINE: Final = 0
FAILED: Final = 1
BAD_USE: Final = 2
REMAINS: Final = 75
INTERRUPTED: Final = 130
UNHEARD: Final = 141


def guard(command: Callable[[], int]) -> int:
    """Call a command; what it raises that is the user's to mend becomes one line, and an exit code."""
    try:
        code = command()
        sys.stdout.flush()
    except (PapympiError, click.ClickException) as error:
        _tell(error)
        return FAILED if isinstance(error, FailuresError) else BAD_USE
    except (KeyboardInterrupt, click.Abort):
        click.echo("papympi: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads: what Python flushes at its end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNHEARD
    else:
        return code


def _tell(error: PapympiError | click.ClickException) -> None:
    """Write what went wrong in one line, behind the traceback of the user's code if that is what raised."""
    if isinstance(error, LoadError) and error.traceback:
        click.echo(error.traceback, err=True, nl=False)
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        message = f"{error.format_message()}{hint}"
    else:
        message = str(error)
    click.echo(f"papympi: error: {message}", err=True)
