"""Files of results: what stands in them, and that they are whole."""

import collections
import contextlib
import csv
import dataclasses
import datetime
import enum
import json
import os
import pickle
import resource
from pathlib import Path

import numpy as np
import pytest

from papympi.errors import OptionError, PapympiError, ShippingError
from papympi.formats.file_formats import FORMATS, to_line
from papympi.formats.output_files import encode_failure, open_output, write_whole
from papympi.model.item import Failure, Result

Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Star:
    name: str
    place: Point


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Odd:
    def __repr__(self):
        return "Odd()"


def write(path, *values):
    with open_output(path) as writer:
        for number, value in enumerate(values):
            writer.write(Result("n", (number,), value))


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (1, 1),
        ("ä\n", "ä\n"),
        (None, None),
        (True, True),
        (0.1, 0.1),
        ((1, [2, {3}]), [1, [2, [3]]]),
        ({"a": 1, 2: None}, {"a": 1, "2": None}),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (Path("a") / "b", "a/b"),
        (Star("Vega", Point(1, 2)), {"name": "Vega", "place": {"x": 1, "y": 2}}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.deque([1]), [1]),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (frozenset("ba"), ["a", "b"]),
    ],
)
def test_plain_value(value, plain):
    assert json.loads(to_line(Result("n", (1, 2), value))) == {"node": "n", "key": [1, 2], "value": plain}


@pytest.mark.parametrize(("value", "plain"), [(Odd(), "Odd()"), ([Odd(), 1], ["Odd()", 1]), (b"\0", "b'\\x00'")])
def test_repr_says_so(value, plain):
    """A value that JSON does not know says so."""
    assert json.loads(to_line(Result("n", (), value))) == {"node": "n", "key": [], "value": plain, "repr": True}


def test_value_that_holds_itself():
    """A value that holds itself is its repr."""
    value = []
    value.append(value)
    assert json.loads(to_line(Result("n", (), value)))["value"] == "[[...]]"


def test_json_lines(tmp_path):
    write(tmp_path / "a.jsonl", "a", "\udcff")
    assert (tmp_path / "a.jsonl").read_bytes() == (
        b'{"node": "n", "key": [0], "value": "a"}\n{"node": "n", "key": [1], "value": "\\udcff"}\n'
    )


def test_csv_of_records(tmp_path):
    write(tmp_path / "a.csv", Star("Vega", Point(1, 2)), Star("a,b", None))
    assert (tmp_path / "a.csv").read_text().splitlines() == [
        "node,key,name,place",
        'n,[0],Vega,"{""x"": 1, ""y"": 2}"',
        'n,[1],"a,b",',
    ]


def test_csv_of_tuples_and_values(tmp_path):
    """CSV of tuples and of plain values."""
    write(tmp_path / "a.csv", (1, 2.5))
    write(tmp_path / "b.csv", 1, "two", None)
    assert (tmp_path / "a.csv").read_text() == "node,key,value_0,value_1\nn,[0],1,2.5\n"
    assert (tmp_path / "b.csv").read_text() == "node,key,value\nn,[0],1\nn,[1],two\nn,[2],\n"


def test_csv_of_unlike_values(tmp_path):
    """CSV of unlike values has all columns."""
    write(tmp_path / "a.csv", {"a": "x\ny"}, {"b": 2}, 3, {"a": 4})
    with (tmp_path / "a.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["node", "key", "a", "b", "value"],
            ["n", "[0]", "x\ny", "", ""],
            ["n", "[1]", "", "2", ""],
            ["n", "[2]", "", "", "3"],
            ["n", "[3]", "4", "", ""],
        ]


def test_pickles(tmp_path):
    write(tmp_path / "a.pkl", {1}, lambda: 7)
    with (tmp_path / "a.pkl").open("rb") as file:
        assert pickle.load(file) == ("n", (0,), {1})
        assert pickle.load(file)[2]() == 7


def test_unpicklable_is_named(tmp_path):
    """A value that cannot be pickled is named."""
    with pytest.raises(ShippingError, match=r"result \(0,\) of node 'n' cannot be pickled"):
        write(tmp_path / "a.pkl", (number for number in range(3)))


@pytest.mark.parametrize("suffix", FORMATS)
def test_no_result_empty_file(tmp_path, suffix):
    """No result makes a file without rows."""
    path = tmp_path / f"a{suffix}"
    write(path)
    assert list(FORMATS[suffix].read_rows(path)) == []
    assert path.read_text() == ("node,key,value\n" if suffix == ".csv" else "")


def test_file_appears_at_the_end(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("old")
    with open_output(path) as writer:
        writer.write(Result("n", (), 1))
        assert path.read_text() == "old"
    assert path.read_text().startswith('{"node"')
    assert list(tmp_path.iterdir()) == [path]


def test_rows_before_error_stay(tmp_path):
    """What was written before an error is kept."""
    path = tmp_path / "a.csv"

    def interrupt():
        with open_output(path) as writer:
            writer.write(Result("n", (0,), 1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert path.read_text() == "node,key,value\nn,[0],1\n"


def test_early_error_keeps_old_file(tmp_path):
    """An error before the first result leaves the old file."""
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(ValueError, match="no"), open_output(path):
        raise ValueError("no")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_links_and_devices_stay(tmp_path):
    """Link and device stay what they are."""
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "real.jsonl")
    write(tmp_path / "link.jsonl", 1)
    assert (tmp_path / "link.jsonl").is_symlink()
    assert (tmp_path / "real.jsonl").read_text().startswith("{")
    (tmp_path / "null.jsonl").symlink_to(os.devnull)
    with open_output(tmp_path / "null.jsonl", {"": lambda _: None, ".jsonl": lambda _: Quiet()}) as writer:
        writer.write(None)
    assert not Path(os.devnull).is_file()


class Quiet:
    def write(self, result):
        pass

    def close(self):
        pass


def test_bad_suffix_and_folder(tmp_path):
    """Unknown suffix and missing folder are refused."""
    with pytest.raises(OptionError, match=r"cannot write 'a\.xml': .* \.csv, \.jsonl, \.pkl"):
        write(tmp_path / "a.xml")
    with pytest.raises(PapympiError, match="there is no folder .*; make it first"):
        write(tmp_path / "none" / "a.csv")


def test_failures(tmp_path):
    failure = Failure("n", (1,), ValueError("bad"), "Traceback ...", "x=1", "threads[0]", 2)
    write_whole(tmp_path / "failures.jsonl", [encode_failure(failure)])
    assert json.loads((tmp_path / "failures.jsonl").read_text()) == {
        "node": "n",
        "key": [1],
        "error": "ValueError",
        "message": "bad",
        "input": "x=1",
        "worker": "threads[0]",
        "attempts": 2,
        "traceback": "Traceback ...",
    }


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("value", [{"a": "x\ny"}, {"a": "x" * 20_000}], ids=["short", "long"])
def test_a_full_disk_leaves_whole_rows(suffix, value, tmp_path):
    """What was in memory was written as far as there was room, in the middle of a row."""
    path = tmp_path / f"a{suffix}"
    with pytest.raises(PapympiError, match=r"cannot write '.*': File too large"), room(50_000):
        write(path, *[value] * 5000)
    rows = list(FORMATS[suffix].read_rows(path))
    assert [row.key for row in rows] == [(number,) for number in range(len(rows))]
    assert 0 < path.stat().st_size <= 50_000
    assert 50_000 - path.stat().st_size < 21_000


def test_no_room_for_a_new_head_costs_no_row(tmp_path):
    """The table was written anew in its own place, and was neither the old nor the new one when that failed."""
    values = [{"a": "x" * 90}] * 500 + [{"b": "y"}]
    write(tmp_path / "whole.csv", *values)
    size = (tmp_path / "whole.csv").stat().st_size - 100
    with pytest.raises(PapympiError, match="File too large"), room(size):
        write(tmp_path / "a.csv", *values)
    with (tmp_path / "a.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["node", "key", "a"]
    assert rows == [
        ["n", f"[{n}]", *value.values()] if n < 500 else ["n", "[500]", "", "y"] for n, value in enumerate(values)
    ]


@pytest.mark.parametrize("text", ["a\rb", "\r", "a\r\nb", "\n", 'a"\r'])
def test_ends_of_lines_in_cells_are_quoted(text, tmp_path):
    """Python quotes only cells with the end of line that it writes itself; others are as much the end of a row."""
    write(tmp_path / "a.csv", {"a": text, "b": 1}, {"c": text})
    with (tmp_path / "a.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [["n", "[0]", text, "1", ""], ["n", "[1]", "", "", text]]


@contextlib.contextmanager
def room(size):
    """Let files grow to some size only, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
