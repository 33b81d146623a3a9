"""The files of `papympi run`: how they are read and written, where results go, and the failures beside them."""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from typing import get_args

import click

from papympi.cli.options import join_options
from papympi.formats.json_values import NonFinite
from papympi.formats.naming import NamedFile
from papympi.runner.journal_options import JournalOptions
from papympi.runner.run import Run
from papympi.stores.rundir import FAILURES, RESULTS, open_private

EARLIER = "failures.earlier.jsonl"
"""The failures of the run before, of one whose results went to standard output."""


def _check_encoding(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """Return an encoding that there is."""
    try:
        if value:
            "a".encode(codecs.lookup(value).name)
    except (LookupError, ValueError):
        raise click.BadParameter(f"{value!r} is no encoding of text, as utf-8 and cp1252 are", ctx, parameter) from None
    return value


file_options = join_options(
    click.option(
        "--encoding", default="", callback=_check_encoding, metavar="NAME",
        help="Of text that is read: cp1252, latin-1, utf-16 ... Default: what the file's mark says, else UTF-8.",
    ),
    click.option(
        "--nan", "non_finite", type=click.Choice(get_args(NonFinite)), default="null",
        help='How JSON, which has none, says NaN and infinities: null, text ("NaN"), or bare (NaN), as Python does.',
    ),
    click.option(
        "--spreadsheet", is_flag=True, help="Put ' before text in .csv files that a spreadsheet would run as a formula."
    ),
)  # fmt: skip
"""How text files are read and written."""


def place_output(journal: JournalOptions, output: str) -> str:
    """Return where the results of a run with a directory go: into it, unless the output names another folder."""
    if output == "-" or Path(output).name != output:
        return output
    path = journal.folder / (output or RESULTS)
    open_private(path.with_name(f"{path.name}.part")).close()
    return str(path)


class FailuresFile:
    """Where the failures of a run go that is to be written by the run itself: in place of those of an earlier one.

    Each output has a file of its own for them, and none if nothing failed; a run directory, too. What an earlier run
    has left whose results went to standard output is kept under another name, since nothing says that they were
    replaced.

    Args:
        output: where results go.
        journal: the run directory, if there is one.
    """

    def __init__(self, output: str, journal: JournalOptions | None) -> None:
        self._is_own = journal is None and output not in ("", "-")
        self._is_own &= not os.path.lexists(output) or Path(output).is_file()
        self._journal = journal
        self._path = Path(f"{output}.{FAILURES}" if self._is_own else FAILURES)
        self._earlier = ""

    def give(self, session: Run) -> None:
        """Let a run that begins write there; one with a directory does anyway."""
        if self._journal is not None:
            return
        with NamedFile(self._path, "write").named():
            if not self._is_own and self._path.is_file():
                self._path.replace(EARLIER)
                self._earlier = f"failures of an earlier run: {EARLIER}"
        session.write_failures(self._path)

    def finish(self, *, any_failed: bool) -> list[str]:
        """Remove those of an earlier run if nothing failed; return lines that say where they are."""
        path = self._path if self._journal is None else self._journal.folder / FAILURES
        if not any_failed and self._is_own:
            path.unlink(missing_ok=True)
        return [*([f"failures: {path}"] if any_failed else []), *([self._earlier] if self._earlier else [])]
