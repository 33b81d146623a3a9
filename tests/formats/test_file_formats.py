"""Whatever format is registered, everything that lists or merges formats knows it."""

from pathlib import Path

import pytest

from papympi.cli.run import run
from papympi.formats.file_formats import FORMATS
from papympi.formats.inputs import FORMS
from papympi.formats.output_files import open_output
from papympi.model.item import Result


def write(path, results, writers=None):
    with open_output(path, writers) as writer:
        for result in results:
            writer.write(result)
    return path


@pytest.mark.parametrize("suffix", FORMATS)
def test_copied_rows_are_what_was_written(tmp_path, suffix):
    values = [{"a": 1, "b": "ä,\n"}, {"a": 0.1, "c": 2}, {"b": '"'}]
    whole = write(tmp_path / f"whole{suffix}", [Result("n", (key, 0), value) for key, value in enumerate(values)])
    rows = list(FORMATS[suffix].read_rows(whole))
    assert [(row.node, row.key) for row in rows] == [("n", (0, 0)), ("n", (1, 0)), ("n", (2, 0))]
    copied = write(tmp_path / f"copied{suffix}", rows, {suffix: FORMATS[suffix].copy})
    assert copied.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_help_lists_every_format(suffix):
    (output,) = [parameter for parameter in run.params if parameter.name == "output"]
    assert suffix in output.help
    assert suffix in FORMS


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_reference_lists_every_format(suffix):
    page = (Path(__file__).parents[2] / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith(("| `--output FILE`", "| `@FILE`"))]
    assert len(rows) == 2
    assert all(f"`{suffix}`" in row for row in rows)
