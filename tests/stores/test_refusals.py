"""A journal is used only for the inputs and the code that it was written with; what has changed is named."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from papympi import JournalError, JournalOptions, run
from papympi.runner.loading import load_graph
from papympi.stores.sums import guard_rows

PIPELINE = """
import functools
import helpers
from helpers import deep
from papympi import node

LIMIT = 3

class Scale:
    factor = 2
    def apply(self, x):
        return x * self.factor

def nearby(x):
    return x + 1

@node
def first(x):
    "Says what it does."
    return nearby(x) + helpers.plain(x) + deep(x) + LIMIT + Scale().apply(x)

@node(stride=2)
def second(first):
    import lazily
    return [first, lazily.constant, (lambda: "inner")()]

@node(fold=list)
def third(seen, second):
    return [*seen, second]
"""
HELPERS = "def plain(x):\n    return x\n\ndef deep(x):\n    return deeper(x)\n\ndef deeper(x):\n    return -x\n"


@pytest.fixture
def pipeline(project, monkeypatch):
    """Return what loads the pipeline afresh, some text of its files replaced."""
    monkeypatch.syspath_prepend(str(project))

    def load(old="", new="", file="pipe.py"):
        from papympi import graph

        graph.clear()
        for name in ("pipe", "helpers", "lazily"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        texts = {"pipe.py": PIPELINE, "helpers.py": HELPERS, "lazily.py": "constant = 7\n"}
        assert old in texts[file]
        texts[file] = texts[file].replace(old, new) if old else texts[file]
        for name, text in texts.items():
            (project / name).write_text(text)
            for compiled in project.glob("__pycache__/*"):
                compiled.unlink()
        return load_graph("pipe.py").graph

    yield load
    from papympi import graph

    graph.clear()


def go(graph, inputs=range(6), **options):
    keeping = JournalOptions(folder=Path("run"), resume=True, **options)
    return list(run({"x": inputs}, graph=graph, journal=keeping, pools={"processes": "inline"}, by_value=("pipe",)))


CHANGES = {
    "its own code": ("nearby(x) +", "nearby(x) -", "pipe.py", "node 'first' ", "pipe.first has changed"),
    "a constant in it": ('"inner"', '"other"', "pipe.py", "node 'second' ", "pipe.second has changed"),
    "a helper": ("return x + 1", "return x + 2", "pipe.py", "node 'first' ", "pipe.nearby, which it uses, has changed"),
    "a helper of a helper": ("return -x", "return +x", "helpers.py", "node 'first' ", "helpers.deeper, which it uses"),
    "one by attribute": ("    return x\n", "    return 2 * x\n", "helpers.py", "node 'first' ", "helpers.plain, which"),
    "one imported late": ("7", "8", "lazily.py", "node 'second' ", "pipe.second has changed"),
    "a global": ("LIMIT = 3", "LIMIT = 4", "pipe.py", "node 'first' ", "pipe.first has changed"),
    "a class": ("factor = 2", "factor = 3", "pipe.py", "node 'first' ", "pipe.Scale, which it uses, has changed"),
    "an option": ("@node(stride=2)", "@node(stride=2, on_error='drop')", "pipe.py", "node 'second' ", "its options"),
    "the accumulator": ("fold=list", "fold=tuple", "pipe.py", "node 'third' ", "its options or inputs have changed"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_code_is_refused(pipeline, change):
    """Changed code is refused by name."""
    old, new, file, node, what = CHANGES[change]
    results = go(pipeline())
    changed = pipeline(old, new, file)
    with pytest.raises(JournalError) as refusal:
        go(changed)
    assert str(refusal.value).startswith(node)
    assert what in str(refusal.value)
    assert "--force" in str(refusal.value)
    assert go(changed, force=True) == results


@pytest.mark.parametrize(
    ("old", "new"),
    [("Says what", "Tells what"), ("@node\ndef first", "# A comment.\n\n@node\ndef first"), ("stride=2", "stride=3")],
)
def test_harmless_is_no_change(pipeline, old, new):
    """What does not change results is no change."""
    results = go(pipeline())
    assert go(pipeline(old, new)) == results


def test_changed_item_is_refused(pipeline):
    """A changed item is refused by its number."""
    graph = pipeline()
    results = go(graph, [0, 1, 2, 3])
    with pytest.raises(JournalError, match="item 2 of input 'x' is not what it was .* --force"):
        go(graph, [0, 1, 5, 3])
    assert go(graph, [0, 1, 5, 3], force=True) == results


@pytest.mark.parametrize("inputs", [range(7), range(5), iter(range(7)), iter(range(5))])
def test_other_counts_are_refused(pipeline, inputs):
    """Other numbers of items are refused."""
    graph = pipeline()
    go(graph)
    with pytest.raises(JournalError, match="input 'x' had 6 items when the journal was written"):
        go(graph, inputs)


def test_other_version_is_refused(pipeline):
    graph = pipeline()
    results = go(graph)
    with closing(sqlite3.connect("run/journal.sqlite")) as connection, connection:
        guard_rows(connection)
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('papympi', '0.0.1')")
    with pytest.raises(JournalError, match=r"the journal was written by papympi 0\.0\.1, this is .* --force"):
        go(graph)
    assert go(graph, force=True) == results
    assert go(graph) == results
