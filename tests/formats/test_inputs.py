"""Every form of `--input NAME=VALUE`."""

import io
import itertools
import pickle
from pathlib import Path

import pytest

from papympi.errors import InputError
from papympi.formats.inputs import WHOLE_FILE, parse_inputs


def parse(value):
    return parse_inputs([f"x={value}"])["x"]


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ("[1, 2, 3]", [1, 2, 3]),
        ("[]", []),
        ("5", [5]),
        ("-2.5", [-2.5]),
        ("(1, 2)", [(1, 2)]),
        ("{'a': 1}", [{"a": 1}]),
        ("None", [None]),
        ('"a b"', ["a b"]),
        ("plain text", ["plain text"]),
        ("", [""]),
        ("a=b", ["a=b"]),
        ("https://example.org/a", ["https://example.org/a"]),
        ("3..7", [3, 4, 5, 6]),
        ("-2..1", [-2, -1, 0]),
        ("5..5", []),
        ("0..1_000", list(range(1000))),
        ("9" * 5000, [10**5000 - 1]),
        (f"[-{'9' * 5000}, 1.5]", [1 - 10**5000, 1.5]),
        (f"{'9' * 5000}..1{'0' * 5000}", [10**5000 - 1]),
    ],
)
def test_value(value, items):
    """Whatever its length: integers of more digits than Python reads were taken for text."""
    assert list(parse(value)) == items


def test_range_is_lazy():
    """A range is lazy and has a length."""
    assert parse("0..1000000000000") == range(1_000_000_000_000)


def test_endless_range():
    """A range without an end never ends."""
    assert list(itertools.islice(parse("7.."), 3)) == [7, 8, 9]


def test_glob_gives_sorted_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("b.txt", "a.txt", "c.dat", "sub/d.txt"):
        (tmp_path / name).touch()
    assert parse("*.txt") == [Path("a.txt"), Path("b.txt")]
    assert parse("**/*.txt") == [Path("a.txt"), Path("b.txt"), Path("sub/d.txt")]
    assert parse(f"{tmp_path}/?.dat") == [tmp_path / "c.dat"]


def test_file_name_is_a_path(tmp_path, monkeypatch):
    """The name of a file is its path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd[1].txt").touch()
    assert parse("odd[1].txt") == [Path("odd[1].txt")]
    assert parse('"odd[1].txt"') == ["odd[1].txt"]


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.txt").write_text("one\n")
    assert parse("~/*.txt") == [tmp_path / "a.txt"]
    assert parse("@~/a.txt") == ["one"]


def test_empty_glob_is_refused():
    """A glob that matches nothing is refused."""
    with pytest.raises(InputError, match=r"input 'x': nothing matches 'no\*such\.txt'"):
        parse("no*such.txt")


def test_lines_of_a_file(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes("one\r\n\n zwölf \nlast".encode() + b" \xff")
    assert parse(f"@{path}") == ["one", "", " zwölf ", "last \udcff"]


def test_long_file_is_lazy(tmp_path):
    """A long file is read as the run goes."""
    path = tmp_path / "long.txt"
    with path.open("wb") as file:
        file.write(b"first\n")
        file.truncate(WHOLE_FILE + 1)
    lines = parse(f"@{path}")
    assert not hasattr(lines, "__len__")
    assert next(iter(lines)) == "first"


def test_rows_of_other_files(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n\n[2]\n')
    (tmp_path / "a.csv").write_text("name,n\nx,1\n")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({1}) + pickle.dumps("b"))
    assert parse(f"@{tmp_path}/a.jsonl") == [{"a": 1}, [2]]
    assert parse(f"@{tmp_path}/a.csv") == [{"name": "x", "n": "1"}]
    assert parse(f"@{tmp_path}/a.pkl") == [{1}, "b"]


def test_bad_json_names_the_line(tmp_path):
    (tmp_path / "a.jsonl").write_text("1\n{\n")
    with pytest.raises(InputError, match=r"a\.jsonl, line 2: not JSON"):
        parse(f"@{tmp_path}/a.jsonl")


def test_other_readers(tmp_path):
    (tmp_path / "a.size").write_text("four")
    found = parse_inputs([f"x=@{tmp_path}/a.size"], {".size": lambda path: [path.stat().st_size]})
    assert found == {"x": [4]}


def test_missing_file_and_folder(tmp_path):
    """A missing file and a folder are refused."""
    with pytest.raises(InputError, match="input 'x': no such file"):
        parse(f"@{tmp_path}/none.txt")
    with pytest.raises(InputError, match=r"is a folder; its files are x='.*/\*'"):
        parse(f"@{tmp_path}")


def test_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("a\nb\n"))
    assert list(parse("-")) == ["a", "b"]


@pytest.mark.parametrize("text", [b"\xef\xbb\xbfa\r\nb\xff\r\n", b"a\nb\xff\n"])
def test_standard_input_is_as_a_file(text, tmp_path, monkeypatch):
    """With a mark of Excel's, with other ends of lines, with bytes that are not UTF-8."""
    (tmp_path / "lines.txt").write_bytes(text)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text), encoding="ascii", newline="\n"))
    assert list(parse("-")) == list(parse(f"@{tmp_path / 'lines.txt'}")) == ["a", "b\udcff"]


@pytest.mark.parametrize(
    ("suffix", "text", "rows"),
    [
        ("csv", b"id,name\r\n1,A\r\n", [{"id": "1", "name": "A"}]),
        ("jsonl", b'{"id": 1}\r\n', [{"id": 1}]),
        ("txt", b"first\r\n", ["first"]),
    ],
)
def test_mark_of_excel_is_no_text(suffix, text, rows, tmp_path):
    path = tmp_path / f"plate.{suffix}"
    path.write_bytes(b"\xef\xbb\xbf" + text)
    assert list(parse(f"@{path}")) == rows


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("loop/**/*.txt", ["loop/a.txt", "loop/sub/b.txt"]),
        ("**/*.txt", ["loop/a.txt", "loop/sub/b.txt"]),
        ("lo*/**/sub/**/*.txt", ["loop/sub/b.txt"]),
        ("loop/**", ["loop", "loop/a.txt", "loop/sub", "loop/sub/b.txt"]),
        ("loop/sub/back/*.txt", ["loop/sub/back/a.txt"]),
        ("link/**/*.txt", ["link/a.txt", "link/sub/b.txt"]),
    ],
)
def test_links_are_not_followed(pattern, names, project):
    """By `**`, which would go round in circles; what is named is."""
    (project / "loop" / "sub").mkdir(parents=True)
    (project / "loop" / ".hidden").mkdir()
    for name in ("a.txt", "sub/b.txt", ".hidden/c.txt", ".d.txt"):
        (project / "loop" / name).touch()
    (project / "loop" / "sub" / "back").symlink_to("..")
    (project / "loop" / "sub" / "up").symlink_to("../..")
    (project / "link").symlink_to("loop")
    if pattern.startswith("**"):
        (project / "link").unlink()
    assert list(map(str, parse(pattern))) == names


def test_name_twice_has_both():
    """A name that comes twice has both."""
    assert parse_inputs(["x=0..2", "y=1", "x=[9]"]) == {"x": [0, 1, 9], "y": [1]}
    assert list(itertools.islice(parse_inputs(["x=5", "x=0.."])["x"], 3)) == [5, 0, 1]


@pytest.mark.parametrize("setting", ["x", "=1", "a b=1", "1=2"])
def test_nameless_is_refused(setting):
    """A setting without a name is refused."""
    with pytest.raises(InputError, match="not of the form NAME=VALUE"):
        parse_inputs([setting])


def test_standard_input_only_once():
    """Standard input is given once."""
    with pytest.raises(InputError, match="only one input"):
        parse_inputs(["x=-", "y=-"])
