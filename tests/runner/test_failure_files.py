"""A run may fail without end: memory has the first failures and counts, and files have all of them."""

from __future__ import annotations

import gc
import json

import pytest

from papympi import Graph, run
from papympi.model.failures import KEPT, FailureGroups
from papympi.model.item import Failure
from papympi.runner.failure_files import RunFailures
from papympi.stores.failures import read_failures

ROWS = 1300
"""So many items, of which all but each eighth fail."""
WANTED = [["odd" if n % 2 else "even", [n]] for n in range(ROWS) if n % 8]


def even(x):
    if x % 8 and not x % 2:
        raise ValueError("even")
    return x


def odd(even):
    if even % 2:
        raise KeyError(f"/folder/{even}")
    return even


@pytest.fixture
def graph():
    found = Graph("failing")
    found.node(even, pool="p", stride=64)
    found.node(odd, pool="p", stride=64)
    return found


def read_rows(path):
    """Return node and key of each line of a file of failures."""
    return [[row["node"], row["key"]] for row in map(json.loads, path.read_text().splitlines())]


def count_living():
    """Return how many failures there are in this process."""
    gc.collect()
    return sum(type(each) is Failure for each in gc.get_objects())


@pytest.mark.parametrize("pool", ["inline", "threads:2", "processes:2"])
def test_all_failures_are_written(graph, pool, tmp_path):
    """The list of failures grew with the run: now the first are kept, all are counted, and a file has them in order."""
    path = tmp_path / "failures.jsonl"
    running = run({"x": range(ROWS)}, graph=graph, pools={"p": pool}, errors="drop", ordered=False)
    running.write_failures(path)
    before = count_living()
    assert sorted(running) == list(range(0, ROWS, 8))
    assert count_living() - before <= 1.2 * KEPT  # the last batch is still there
    assert len(running.failures) == KEPT
    assert running.summary.failed == len(WANTED)
    assert [(each.count, each.first.node, each.first.key) for each in running.summary.groups] == [
        (650, "odd", (1,)),
        (487, "even", (2,)),
    ]
    assert read_rows(path) == WANTED
    assert not any("failures" in note for note in running.summary.notes)


def test_left_out_failures_are_noted(graph):
    """Who reads `run.failures` is told that there were more."""
    running = run({"x": range(ROWS)}, graph=graph, pools={"p": "inline"}, errors="drop")
    list(running)
    (note,) = running.summary.notes
    assert note.startswith(f"run.failures has the first 1000 of {len(WANTED)} failures; a run directory")


def test_run_directory_has_all_failures(graph, tmp_path):
    """What an earlier attempt has left was read into memory, too; what fails again counts once."""
    folder = tmp_path / "run"
    for resume, rows in ((False, ROWS), (True, ROWS)):
        running = run(
            {"x": range(rows)}, graph=graph, pools={"p": "inline"}, errors="drop", journal=folder, resume=resume
        )
        running.write_failures(tmp_path / "more.jsonl")
        assert list(running) == list(range(0, ROWS, 8))
        assert (len(running.failures), running.summary.failed) == (KEPT, len(WANTED))
        assert read_rows(folder / "failures.jsonl") == read_rows(tmp_path / "more.jsonl") == WANTED
    grouping = FailureGroups()
    for failure in read_failures(folder):
        grouping.add(failure)
    assert {(each.count, each.first.node, each.first.key) for each in grouping.list_groups()} == {
        (650, "odd", (1,)),
        (487, "even", (2,)),
    }


def test_no_failures_leave_no_file(graph, tmp_path):
    """A file of an earlier attempt goes from the run directory; elsewhere nothing is touched."""
    own, other = tmp_path / "run" / "failures.jsonl", tmp_path / "failures.jsonl"
    for rows in ([1], [8]):
        (tmp_path / "run" / "journal.sqlite").unlink(missing_ok=True)
        running = run({"x": rows}, graph=graph, pools={"p": "inline"}, errors="drop", journal=tmp_path / "run")
        running.write_failures(other)
        list(running)
        assert own.exists() == (rows == [1])
    assert read_rows(other) == [["odd", [0]]]


def test_lost_lines_are_told(tmp_path):
    """A run goes on where a failure cannot be put aside: it is counted, and the summary says what is missing."""
    log = RunFailures(tmp_path / "failures.jsonl")
    log.add([Failure("even", (n,), ValueError("no")) for n in range(KEPT)])
    for number in (1 << 70, 7):  # no key is so great that its eight bytes would not do
        log.add([Failure("even", (number,), ValueError("no"))])
    log.write()
    assert log.list_notes()[0].startswith(f"2 failures are not in {tmp_path}/failures.jsonl: the folder for")
    assert len(read_rows(tmp_path / "failures.jsonl")) == KEPT
