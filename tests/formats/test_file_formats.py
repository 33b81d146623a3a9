"""Whatever format is registered, everything that lists or merges formats knows it."""

import csv
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from papympi.cli.run import run
from papympi.formats.file_formats import FORMATS, WRITERS, in_style, to_line
from papympi.formats.inputs import FORMS
from papympi.formats.output_files import open_output
from papympi.formats.tables import WriteStyle
from papympi.model.item import Result
from papympi.model.telling import UNSAFE


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


class Mute:
    """An object that cannot be described."""

    def __repr__(self):
        raise ValueError


class Liar(dict):
    """A mapping that cannot be read."""

    def keys(self):
        raise KeyError

    def __iter__(self):
        raise KeyError


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (math.nan, None),
        ([1.0, -math.inf, {"a": math.nan}], [1.0, None, {"a": None}]),
        (np.array([np.nan, 2.0]), [None, 2.0]),
        (np.float64("inf"), None),
        ({math.nan}, [None]),
    ],
)
def test_json_has_no_nan(value, written):
    row = json.loads(to_line(Result("n", (0,), value)), parse_constant=pytest.fail)
    assert row == {"node": "n", "key": [0], "value": written}


def test_long_integers_are_whole(tmp_path):
    """Whatever limit Python sets to its texts; it stays as it is."""
    limit, number = sys.get_int_max_str_digits(), 10**5000 + 7
    digits = "1" + "0" * 4999 + "7"
    assert f'"value": [{digits}]}}' in to_line(Result("n", (0,), [number]))
    (row,) = FORMATS[".jsonl"].read(write(tmp_path / "a.jsonl", [Result("n", (0,), number)]))
    assert row["value"] == number
    with open_output(tmp_path / "a.csv") as writer:
        writer.write(Result("n", (0,), number))
        writer.write(Result("n", (1,), math.inf))
    assert (tmp_path / "a.csv").read_text() == f"node,key,value\nn,[0],{digits}\nn,[1],inf\n"
    assert sys.get_int_max_str_digits() == limit


@pytest.mark.parametrize("value", [Mute(), [Mute()], Liar(a=1)])
def test_whatever_it_is_is_written(value):
    """A value whose own methods raise is one row, and not the end."""
    assert json.loads(to_line(Result("n", (0,), value)))["repr"]


@pytest.mark.parametrize(
    ("choice", "line", "back"),
    [
        ("null", '[null, {"a": null}, 1.5]', [None, {"a": None}, 1.5]),
        ("text", '["NaN", {"a": "-Infinity"}, 1.5]', ["NaN", {"a": "-Infinity"}, 1.5]),
        ("bare", "[NaN, {\"a\": -Infinity}, 1.5]", None),
    ],
)  # fmt: skip
def test_numbers_that_json_lacks(choice, line, back, tmp_path):
    """Are null unless users choose otherwise; bare they come in again as they were."""
    value = [math.nan, {"a": -math.inf}, 1.5]
    writers = in_style(WRITERS, WriteStyle(choice))
    write(tmp_path / "a.jsonl", [Result("n", (0,), value)], writers)
    assert f'"value": {line}}}\n' in (tmp_path / "a.jsonl").read_text()
    (row,) = FORMATS[".jsonl"].read(tmp_path / "a.jsonl")
    assert repr(row["value"]) == repr(value if back is None else back)
    write(tmp_path / "a.csv", [Result("n", (0,), value), Result("n", (1,), math.nan)], writers)
    with (tmp_path / "a.csv").open(newline="") as file:
        assert [row["value"] for row in csv.DictReader(file)] == [line, "nan"]


def test_json_has_no_control_characters():
    """A terminal that shows it takes no orders, and it says the same."""
    text = "a\x1b[31m\x7f\x9b\u202e\u2028\udce9é"
    line = to_line(Result("n", (0,), text))
    assert "\\u001b" in line
    assert not UNSAFE.search(line)
    assert json.loads(line)["value"] == text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_spreadsheet_runs_no_cell(text, tmp_path):
    """If users say that they will open it there; else cells are what they were."""
    values = [{"a": text, text: -1, "n": -math.inf, "l": [-1]}, {"a": "b=1", "new": text}]
    results = [Result("n", (key,), value) for key, value in enumerate(values)]
    write(tmp_path / "a.csv", results)
    write(tmp_path / "b.csv", results, in_style(WRITERS, WriteStyle(spreadsheet=True)))
    for name, cell in (("a", text), ("b", f"'{text}")):
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["a"] for row in rows] == [cell, "b=1"]
        assert (rows[0][cell], rows[0]["n"], rows[0]["l"], rows[1]["new"]) == ("-1", "-inf", "[-1]", cell)
