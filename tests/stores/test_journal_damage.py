"""Damaged journals: what cannot be trusted is computed again; the results of a resumed run are never others."""

from __future__ import annotations

import random
import shutil
import sqlite3
import warnings
from contextlib import closing

import pytest

from papympi import DROP, Graph, JournalError, run
from papympi.stores.failures import read_failures

GRAPH = Graph("damage")


def count(x):
    if x == 7:
        raise ValueError("seven")
    yield from range(x % 5)


def word(count, x):
    return DROP if (count + x) % 7 == 3 else f"{x}:{count}" * 3


def listed(word):
    return "".join(word)


def total(so_far, x):
    return so_far + x


for function, options in [
    (count, {"inputs": {"x": "x"}, "spread": True}),
    (word, {"stride": 3, "checkpoint": True}),
    (listed, {"gather": True, "on_error": "drop"}),
    (total, {"fold": int}),
]:
    GRAPH.add(function, pool="inline", **options)


def play(folder, **options):
    """Run the graph in a run directory and return what it delivers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with run({"x": range(30)}, graph=GRAPH, errors="keep", journal=folder, **options) as running:
            return [(each.node, getattr(each, "value", str(getattr(each, "error", "")))) for each in running.results()]


def try_to_play(folder):
    """Go on; return what comes of it, or the message of the one error that there may be."""
    try:
        return play(folder, resume=True)
    except JournalError as error:
        return str(error)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return a run directory with a journal, and what the run has delivered."""
    folder = tmp_path_factory.mktemp("damage") / "whole"
    return folder, play(folder)


def flip(chance, data):
    for _ in range(chance.choice([1, 1, 2, 8, 100])):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def cut(chance, data):
    del data[chance.randrange(len(data)) :]


def double(chance, data):
    at, size = chance.randrange(len(data)), chance.choice([1, 40, 512, 4096])
    data[at:at] = data[at : at + size]


def swap(chance, data):
    size = chance.choice([1, 40, 512, 4096])
    one, two = (chance.randrange(max(1, len(data) // size)) * size for _ in range(2))
    data[one : one + size], data[two : two + size] = data[two : two + size], data[one : one + size]


def blank(chance, data):
    at, size = chance.randrange(len(data)), chance.choice([1, 40, 4096])
    data[at : at + size] = bytes(len(data[at : at + size]))


@pytest.mark.parametrize("damage", [flip, cut, double, swap, blank])
@pytest.mark.parametrize("name", ["journal.sqlite", "events.jsonl", "run.json", "failures.jsonl"])
def test_damage_changes_no_result(kept, tmp_path, name, damage):
    """A row had no sum: its content could change, and be taken for a result, or for text that is none."""
    whole, expected = kept
    for number in range(40 if name == "journal.sqlite" else 6):
        chance = random.Random(f"{damage.__name__} {number}")
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        data = bytearray((folder / name).read_bytes())
        damage(chance, data)
        (folder / name).write_bytes(data)
        found = try_to_play(folder)
        assert found == expected or (isinstance(found, str) and "\n" not in found), (number, found)
        assert isinstance(found, str) or play(folder, resume=True) == expected, number


def edit(folder, statement):
    with closing(sqlite3.connect(folder / "journal.sqlite")) as connection, connection:
        return connection.execute(statement).fetchall()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payloads SET body = (SELECT body FROM payloads AS other WHERE other.id = payloads.id % 3 + 1)",
        "UPDATE results SET offset = offset + 1",
        "UPDATE counts SET counts = '[1]'",
        "UPDATE nodes SET parts = '{}'",
        "DELETE FROM nodes",
        "UPDATE meta SET value = value || '0' WHERE name = 'seed'",
        "DELETE FROM sums",
        "UPDATE failures SET told = 'x'",
    ],
)
def test_changed_rows_are_absent(kept, tmp_path, statement):
    """What SQLite cannot know to be damage: rows that are well formed, and not what was written."""
    whole, expected = kept
    shutil.copytree(whole, tmp_path / "d")
    edit(tmp_path / "d", statement)
    assert play(tmp_path / "d", resume=True) == expected
    assert (tmp_path / "d" / "journal.sqlite.damaged").exists()


def test_sound_journal_is_used(kept, tmp_path):
    """A journal that nobody has touched is read, and none of its rows is taken for damaged, however often."""
    whole, expected = kept
    shutil.copytree(whole, tmp_path / "d")
    for _ in range(3):
        assert (
            play(
                tmp_path / "d",
                resume=True,
            )
            == expected
        )
        assert not (tmp_path / "d" / "journal.sqlite.damaged").exists()
    assert len(list(read_failures(tmp_path / "d"))) == 1


def test_older_journal_is_read(kept, tmp_path):
    """A journal from before there were sums is read as it was, and has them from then on."""
    whole, expected = kept
    shutil.copytree(whole, tmp_path / "d")
    edit(tmp_path / "d", "DROP TABLE sums")
    before = edit(tmp_path / "d", "SELECT COUNT(*) FROM results")
    assert play(tmp_path / "d", resume=True) == expected
    assert edit(tmp_path / "d", "SELECT COUNT(*) FROM results") == before
    assert not (tmp_path / "d" / "journal.sqlite.damaged").exists()
    edit(tmp_path / "d", "UPDATE results SET offset = offset + 1")
    assert play(tmp_path / "d", resume=True) == expected
    assert (tmp_path / "d" / "journal.sqlite.damaged").exists()
