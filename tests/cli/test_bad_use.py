"""Bad use gets one clear line and exit code 2."""

import pytest

INLINE = ("--pool", "*=inline")


def refuse(done, *parts):
    """Look that a call was refused in one line that has some parts."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    *before, line = done.stderr.splitlines()
    assert line.startswith("papympi: error: "), done.stderr
    for part in parts:
        assert part in line
    return before


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["run", "square.py"], ["no such file: 'square.py'", "did you mean 'squares.py'"]),
        (["run", "no_such_module"], ["no file and no module named 'no_such_module'"]),
        (["run", "squares.py:graph"], ["no graph named 'graph'"]),
        (["run", "squares.py"], ["input 'number'", "not given", "--input number="]),
        (["run", "squares.py", "--input", "numbr=1"], ["'numbr'", "did you mean 'number'"]),
        (["run", "squares.py", "--input", "number"], ["NAME=VALUE"]),
        (["run", "squares.py", "--input", "number=@none.txt"], ["no such file: 'none.txt'"]),
        (["run", "squares.py", "--input", "number=*.none"], ["nothing matches '*.none'"]),
        (["run", "squares.py", "--input", "number=1", "--target", "sqare"], ["'sqare'", "did you mean 'square'"]),
        (["run", "squares.py", "--input", "number=1", "--pool", "*=thread"], ["'thread'", "did you mean 'threads'"]),
        (["run", "squares.py", "--input", "number=1", "--pool", "mpi"], ["NAME=BACKEND"]),
        (["run", "squares.py", "--input", "number=1", "--stride", "square=0"], ["NODE=N"]),
        (["run", "squares.py", "--input", "number=1", "--stride", "sqare=2"], ["'sqare'", "did you mean 'square'"]),
        (["run", "squares.py", "--input", "number=1", "--output", "a.xml"], [".csv, .jsonl, .pkl"]),
        (["run", "squares.py", "--input", "number=1", "--output", "none/a.csv"], ["cannot write", "none/a.csv"]),
        (["run", "squares.py", "--admission", "0"], ["--admission"]),
        (["run", "squares.py", "--admission-bytes", "0"], ["--admission-bytes", "lets nothing in"]),
        (["run", "squares.py", "--admission-bytes", "4 XB"], ["--admission-bytes", "'4 XB' is not a number of bytes"]),
        (["run", "squares.py", "--stirde", "square=1"], ["--stirde", "--stride", "papympi run --help"]),
        (["run"], ["FILE|MODULE[:GRAPH]"]),
        (["rum", "squares.py"], ["no such command: 'rum'", "did you mean 'run'"]),
        (["-p", "loky", "plugins"], ["no:NAME"]),
        (["graph", "squares.py", "--format", "pdf"], ["--format", "svg"]),
        (["plan", "squares.py", "--pool", "*=thread"], ["did you mean 'threads'"]),
    ],
    ids=str,
)
def test_it_is_refused(papympi, squares, arguments, parts):
    inline = INLINE if "--input" in arguments and "--pool" not in arguments else ()
    assert refuse(papympi(*arguments, *inline), *parts) == []


def test_unknown_pool_of_a_node(papympi, project):
    (project / "pooled.py").write_text("from papympi import node\n\n@node(pool='thread')\ndef one(x):\n    return x\n")
    refuse(papympi("run", "pooled.py", "--input", "x=1"), "'thread'", "did you mean 'threads'")


def test_broken_file_shows_traceback(papympi, project):
    """File that cannot be imported shows its traceback."""
    (project / "broken.py").write_text("import no_such_thing\n")
    before = refuse(papympi("run", "broken.py"), "'broken.py' cannot be loaded: ModuleNotFoundError")
    assert before[0].startswith("Traceback")
    assert any('broken.py", line 1' in line for line in before)
    assert not any("loading.py" in line for line in before)


def test_bad_definition_shows_place(papympi, project):
    (project / "cycle.py").write_text(
        "from papympi import node\n\n@node\ndef a(b):\n    return b\n\n@node\ndef b(a):\n    return a\n"
    )
    refuse(papympi("run", "cycle.py"), "cycle", "cycle.py:3", "cycle.py:7")


def test_unsendable_function_is_named(papympi, project):
    """Function that cannot be sent is named."""
    (project / "held.py").write_text(
        "from papympi import node\n\ndef make(held):\n    @node\n    def take(x):\n        return next(held) + x\n\n"
        "make(number for number in range(3))\n"
    )
    refuse(papympi("run", "held.py", "--input", "x=1", "--pool", "*=processes:1"), "take", "generator")


def test_failed_start_keeps_old_output(papympi, squares, project):
    """Failed definition leaves the old output."""
    (project / "a.csv").write_text("old")
    refuse(papympi("run", squares, "--output", "a.csv"), "not given")
    assert (project / "a.csv").read_text() == "old"
    assert sorted(path.name for path in project.iterdir() if path.is_file()) == ["a.csv", "squares.py"]


def test_missing_graphviz_is_explained(papympi, squares):
    """Missing graphviz says how to get it."""
    refuse(papympi("graph", squares, "--format", "svg", env={"PATH": "/nowhere"}), "Graphviz", "apt install graphviz")
