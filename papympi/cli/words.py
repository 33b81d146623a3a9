"""What the commands say, and the one way it goes out: no control characters, whatever the values were that it is about.

It stands alone, as everything in this room speaks through it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import click

from papympi.errors import NO_ROOM, PapympiError
from papympi.model.telling import as_far_as_room, clean, tell_error


def show(text: object) -> None:
    """Write a text, which may have several lines, to standard output."""
    words = str(text)
    with naming_output():
        click.echo(clean(words, len(words)))


@contextlib.contextmanager
def naming_output() -> Iterator[None]:
    """Say of a full disk that standard output is on it."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise explain_output(error) from error


def explain_output(error: OSError) -> PapympiError:
    """Return the error that says why standard output takes nothing more."""
    return PapympiError(f"cannot write to standard output: {error.strerror or tell_error(error)}")


def tell(text: str) -> None:
    """Write a text to standard error; a file on a full disk ends nothing."""
    with as_far_as_room():
        click.echo(clean(text, len(text)), err=True)
