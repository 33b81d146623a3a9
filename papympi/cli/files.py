"""The files of `papympi run`: how they are read and written, where results go, and the failures beside them."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import click

from papympi.cli.options import join_options
from papympi.formats.json_values import NonFinite
from papympi.formats.naming import NamedFile
from papympi.formats.output_files import write_failures
from papympi.model.item import Failure
from papympi.runner.journal_options import JournalOptions
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


def place_failures(output: str, journal: JournalOptions | None, failures: Iterable[Failure]) -> list[str]:
    """Write the failures of a run that is over in place of those of an earlier one; return lines that say where.

    Each output has a file of its own for them, and none if nothing failed. A run with a directory writes them itself.
    What an earlier run has left whose results went to standard output is kept under another name, since nothing says
    that they were replaced.
    """
    failures = list(failures)
    if journal is not None:
        return [f"failures: {journal.folder / FAILURES}"] if failures else []
    to_file = output not in ("", "-") and (not os.path.lexists(output) or Path(output).is_file())
    path = Path(f"{output}.{FAILURES}" if to_file else FAILURES)
    lines = []
    with NamedFile(path, "write").named():
        if path.is_file() and not to_file:
            path.replace(EARLIER)
            lines.append(f"failures of an earlier run: {EARLIER}")
        if failures:
            write_failures(path, failures)
            return [f"failures: {path}", *lines]
        path.unlink(missing_ok=True)
    return lines
