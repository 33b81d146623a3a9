"""What the commands say, and the one way it goes out: no control characters, whatever the values were that it is about.

It stands alone, as everything in this room speaks through it.
"""

from __future__ import annotations

import contextlib

import click

from papympi.errors import PapympiError
from papympi.model.telling import clean, tell_error


def show(text: object) -> None:
    """Write a text, which may have several lines, to standard output."""
    words = str(text)
    try:
        click.echo(clean(words, len(words)))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise explain_output(error) from error


def explain_output(error: OSError) -> PapympiError:
    """Return the error that says why standard output takes nothing more."""
    return PapympiError(f"cannot write to standard output: {error.strerror or tell_error(error)}")


def tell(text: str) -> None:
    """Write a text to standard error; one that takes nothing, such as a file on a full disk, ends nothing."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(clean(text, len(text)), err=True)
