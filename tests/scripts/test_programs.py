"""What of a script's world arrives: each program gives on each pool, in each way to write it, what its head says."""

from __future__ import annotations

import os
import re

import pytest

from tests.scripts.page import KINDS, PAGE
from tests.scripts.playing import POOLS, WAYS, Clause, Played, Script, judge, play, read_scripts

SCRIPTS = read_scripts()
OTHERS = ("mpi", "loky", "inline", "threads")
"""Each program is tried on one of them, or on `processes`; `make matrix` plays everything."""

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("nothing_left")]


def choose(way, number):
    """Return the pools that a program is tested on: where its script is loaded, or where it travels by value."""
    if os.environ.get("SCRIPTS") == "all":
        return POOLS
    chosen = "processes" if number // 2 % 2 else OTHERS[number // 4 % len(OTHERS)]
    if way == "run":
        return () if number % 8 in {0, 2, 5, 7} else ("mpiexec",) if number % 3 == 0 else (chosen,)
    if way == "notebook":
        return ("processes",) if number % 8 == 0 else ()
    loaded = number % 8 in {0, 2, 5, 7}
    return (chosen,) if loaded and (way == "guarded") == (number % 2 == 0) else ()


CASES = [
    pytest.param(script, way, pools, id=f"{script.name}-{way}")
    for number, script in enumerate(SCRIPTS)
    for way in WAYS
    if script.pools(way, pools := choose(way, number))
]


@pytest.mark.parametrize(("script", "way", "pools"), CASES)
def test_program(script, way, pools, tmp_path):
    """One program, written in one way."""
    cells = play(script, way, pools, tmp_path)
    assert {pool: cell.why for pool, cell in cells.items() if cell.word == "wrong"} == {}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_head_is_whole(script):
    """A program's head has what is needed, and nothing that nobody reads."""
    assert script.fields["kind"] in KINDS
    assert set(script.fields) <= {"title", "kind", "inputs", "expect", "python", "env", "alone", "after", "needs"}
    assert "inputs" in script.fields or script.skips("run", "processes")
    assert {clause.kind for clause in script.clauses} <= {"skip", "refused", "warned"}
    places = {word for clause in script.clauses for place in clause.places for word in place.split("/")}
    assert places <= {"*", *WAYS, *POOLS}
    assert "__main__" not in script.unguarded
    compile(script.unguarded, script.name, "exec")


JUDGED = Script(
    SCRIPTS[0].path,
    {"expect": "[1]"},
    (Clause("refused", ("run",), "thing"), Clause("warned", ("mpi",), "careful")),
)


@pytest.mark.parametrize(
    ("way", "pool", "value", "err", "word"),
    [
        ("run", "inline", [1], "", "yes"),
        ("run", "inline", [2], "", "wrong"),
        ("run", "inline", [2], "ShippingError: thing", "wrong"),
        ("run", "inline", None, "ShippingError: thing", "refused"),
        ("run", "inline", None, "ShippingError: another", "wrong"),
        ("run", "inline", None, "TypeError: thing", "wrong"),
        ("guarded", "inline", None, "ShippingError: thing", "wrong"),
        ("guarded", "mpi", [2], "be careful", "warned"),
        ("guarded", "loky", [2], "be careful", "wrong"),
    ],
)
def test_judge(way, pool, value, err, word):
    assert judge(JUDGED, way, pool, Played(0, "", err), value).word == word


def test_page_lists_programs():
    """The page has a row for each program, and nothing of what is no longer there; no cell is wrong."""
    rows = re.findall(r"^\| (.*) \| `(\w+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(name for _, name in rows) == sorted(script.name for script in SCRIPTS)
    titles = {script.name: script.fields["title"] for script in SCRIPTS}
    assert [name for row, name in rows if row.split(" | ")[0] != titles[name]] == []
    assert [name for row, name in rows if not re.search(r"\b(yes|warned|refused)\b", row)] == []
    assert "wrong" not in PAGE.read_text(encoding="utf-8").partition("\n## ")[2]
