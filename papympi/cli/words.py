"""What the commands say, and the one way it goes out: no control characters, whatever the values were that it is about.

It stands alone, as everything in this room speaks through it.
"""

from __future__ import annotations

import click

from papympi.errors import NO_ROOM, PapympiError
from papympi.model.telling import clean, tell_error


def show(text: object) -> None:
    """Write a text, which may have several lines, to standard output."""
    words = str(text)
    try:
        click.echo(clean(words, len(words)))
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise explain_output(error) from error


def explain_output(error: OSError) -> PapympiError:
    """Return the error that says why standard output takes nothing more."""
    return PapympiError(f"cannot write to standard output: {error.strerror or tell_error(error)}")


def tell(text: str) -> None:
    """Write a text to standard error; a file on a full disk ends nothing.

    Raises:
        OSError: nobody is there any more to read it; that is how the ranks of a launcher learn that it is gone.
    """
    try:
        click.echo(clean(text, len(text)), err=True)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
    except ValueError:  # it has been closed
        pass
