"""The exit codes, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final

import click

from papympi.cli.words import explain_output, tell
from papympi.errors import NO_ROOM, FailuresError, LoadError, PapympiError

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
        tell("papympi: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _give_up_output()
        return UNHEARD
    except OSError as error:
        if error.errno not in NO_ROOM or error.filename is not None:
            raise
        _give_up_output()  # the help page, which click writes, and what Python flushes at its end
        _tell(explain_output(error))
        return BAD_USE
    else:
        return code


def _give_up_output() -> None:
    """Let what Python writes to standard output at its end go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(error: PapympiError | click.ClickException) -> None:
    """Write what went wrong in one line, behind the traceback of the user's code if that is what raised."""
    if isinstance(error, LoadError) and error.traceback:
        tell(error.traceback.rstrip("\n"))
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        message = f"{error.format_message()}{hint}"
    else:
        message = str(error)
    tell(f"papympi: error: {message}")
