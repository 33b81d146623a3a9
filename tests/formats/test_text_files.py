"""Text from other programs: its encoding and its long cells are right, or one line says where it is not."""

import csv
import sys

import pytest

from papympi.errors import InputError
from papympi.formats.file_formats import FORMATS
from papympi.formats.inputs import parse_inputs
from papympi.formats.output_files import open_output
from papympi.model.item import Result

LONG = "x" * 200_000


@pytest.fixture(autouse=True)
def _limit():
    """Begin with the limit of cells as Python has it."""
    before = csv.field_size_limit(131_072)
    yield
    csv.field_size_limit(before)


def read(path, encoding=""):
    return list(parse_inputs([f"row=@{path}"], encoding=encoding)["row"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("suffix", "text", "rows"),
    [
        ("csv", 'id,Größe\r\n1,"a\r\nb"\r\n', [{"id": "1", "Größe": "a\r\nb"}]),
        ("jsonl", '{"ä": 1}\r\n\r\nNaN\r\n', [{"ä": 1}, pytest.approx(float("nan"), nan_ok=True)]),
        ("txt", "ä\r\nb\r\n", ["ä", "b"]),
    ],
)
def test_a_mark_says_the_encoding(encoding, suffix, text, rows, tmp_path):
    """Excel writes CSV with the mark of UTF-8, and Unicode text with that of UTF-16."""
    path = tmp_path / f"plate.{suffix}"
    path.write_bytes(text.encode(encoding))
    assert read(path) == rows
    assert read(path, encoding) == rows


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_what_separates_cells_is_seen(mark, tmp_path):
    """Excel writes semicolons or tabs in some countries and formats, which made one column of all."""
    (tmp_path / "a.csv").write_text(f'id{mark}"size m"\r\n1{mark}"2{mark}5"\r\n')
    assert read(tmp_path / "a.csv") == [{"id": "1", "size m": f"2{mark}5"}]
    (tmp_path / "b.csv").write_text("id\n1;2\n")
    assert read(tmp_path / "b.csv") == [{"id": "1;2"}]
    (tmp_path / "c.csv").write_text("")
    assert read(tmp_path / "c.csv") == []


@pytest.mark.parametrize(
    ("suffix", "text", "where"),
    [
        ("csv", "id,name\r\n1,é\r\n", "line 2: byte 3 (0xe9)"),
        ("csv", 'id,name\n1,"a\nb"\n2,ä\'é\n', "line 4: byte 3 (0xe4)"),
        ("jsonl", '1\n"é"\n', "line 2: byte 2 (0xe9)"),
    ],
)
def test_another_encoding_is_named(suffix, text, where, tmp_path):
    """Text was decoded in pieces of 8 KB, so that neither row nor byte was known; JSON lines took it silently."""
    path = tmp_path / f"plate.{suffix}"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as caught:
        read(path)
    assert f"plate.{suffix}, {where} is not UTF-8; say how it is written, e.g. --encoding" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "é" in str(read(path, "latin-1"))


def test_lines_in_another_encoding(tmp_path):
    """Those of a plain text may be names of files, and survive as they are unless the encoding is said."""
    (tmp_path / "names.txt").write_bytes(b"\xe9\n")
    assert read(tmp_path / "names.txt") == ["\udce9"]
    assert read(tmp_path / "names.txt", "cp1252") == ["é"]


def test_text_that_is_cut_off_is_named(tmp_path):
    (tmp_path / "cut.csv").write_bytes("id\n1\n".encode("utf-16")[:-1])
    with pytest.raises(InputError, match=r"cannot read '.*cut\.csv' behind row \d: UnicodeDecodeError"):
        read(tmp_path / "cut.csv")


def test_long_cells_are_read(tmp_path):
    """The limit of 128 KB for a cell, which Python has for no reason of ours, is lifted in this process and workers."""
    (tmp_path / "long.csv").write_text(f'id,text\n1,{LONG}\n2,"{LONG}"\n')
    assert [len(row["text"]) for row in read(tmp_path / "long.csv")] == [len(LONG)] * 2
    assert csv.field_size_limit() == sys.maxsize


def test_long_cells_are_merged_and_written_anew(tmp_path):
    """Rows of results are read again for a new head, and to be merged."""
    for name in ("a", "b"):
        with open_output(tmp_path / f"{name}.csv") as writer:
            writer.write(Result("n", (0,), {"text": LONG}))
            writer.write(Result("n", (1,), {"text": LONG, "more": 1}))
            csv.field_size_limit(131_072)
    rows = list(FORMATS[".csv"].read_rows(tmp_path / "b.csv"))
    assert [row.value for row in rows] == [{"text": LONG}, {"text": LONG, "more": "1"}]
