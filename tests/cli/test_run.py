"""`papympi run`: inputs in, results out, an exit code that says how it went."""

import json
import pickle
import subprocess
import sys

import pytest

INLINE = ("--pool", "*=inline")


def rows(text):
    return [json.loads(line) for line in text.splitlines()]


def test_values_out_summary_err(papympi, squares):
    """Values go to standard output and the summary to standard error."""
    done = papympi("run", squares, "--input", "number=0..3", *INLINE)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0\n1\n4\n"
    assert "square" in done.stderr
    assert "3 results in" in done.stderr
    assert "in the graph at once" in done.stderr


def test_pools_give_the_same(papympi, squares, pool):
    done = papympi("run", squares, "--input", "number=4..30", "--pool", f"*={pool}", "--stride", "square=3")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(f"{number * number}\n" for number in range(4, 30))


def test_values_unknown_to_json(papympi, project):
    """Values that JSON does not know are shown as they are."""
    (project / "odd.py").write_text("from papympi import node\n@node\ndef odd(x):\n    return [1j, b'a', 'ä', {x}]\n")
    done = papympi("run", "odd.py", "--input", "x=1", *INLINE)
    assert done.stdout == "[1j, b'a', 'ä', {1}]\n"


def test_failures_do_not_end_it(papympi, squares, project):
    """Failures do not end the run."""
    done = papympi("run", squares, "--input", "number=0..6", *INLINE)
    assert done.returncode == 1
    assert done.stdout == "0\n1\n4\n16\n25\n"
    assert "5 results in" in done.stderr
    assert "ValueError in square: no threes\n  at item (3,)" in done.stderr
    assert "failures: failures.jsonl" in done.stderr
    [failure] = rows((project / "failures.jsonl").read_text())
    assert (failure["node"], failure["key"], failure["error"], failure["message"]) == (
        "square", [3], "ValueError", "no threes"
    )  # fmt: skip
    assert 'raise ValueError("no threes")' in failure["traceback"].replace("'", '"')


def test_no_failures_no_file(papympi, squares, project):
    """No file of failures without failures."""
    papympi("run", squares, "--input", "number=1", *INLINE)
    assert not (project / "failures.jsonl").exists()


def test_failures_beside_the_output(papympi, squares, project):
    (project / "out").mkdir()
    done = papympi("run", squares, "--input", "number=2..5", "--output", "out/results.jsonl", *INLINE)
    assert done.returncode == 1
    assert done.stdout == ""
    assert sorted(path.name for path in (project / "out").iterdir()) == [
        "results.jsonl",
        "results.jsonl.failures.jsonl",
    ]
    assert [row["value"] for row in rows((project / "out" / "results.jsonl").read_text())] == [4, 16]


def test_outputs(papympi, squares, project):
    run = ("run", squares, "--input", "number=[1, 2]", *INLINE)
    assert rows(papympi(*run, "--output", "-").stdout) == [
        {"node": "square", "key": [0], "value": 1},
        {"node": "square", "key": [1], "value": 4},
    ]
    for name in ("a.jsonl", "a.csv", "a.pkl"):
        done = papympi(*run, "--output", name)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert f"results: {name}" in done.stderr
    assert rows((project / "a.jsonl").read_text())[1] == {"node": "square", "key": [1], "value": 4}
    assert (project / "a.csv").read_text().splitlines()[2] == "square,[1],4"
    assert pickle.loads((project / "a.pkl").read_bytes()) == ("square", (0,), 1)


def test_table_of_records(papympi, project):
    (project / "ranked.py").write_text(
        "from papympi import node\n\n"
        "@node(gather=True)\n"
        "def ranked(x):\n"
        "    return [{'place': n + 1, 'x': one} for n, one in enumerate(sorted(x))]\n"
    )
    run = ("run", "ranked.py", "--input", "x=[30, 10]", *INLINE)
    table = "place   x\n-----  --\n    1  10\n    2  30\n"
    assert papympi(*run).stdout == table
    assert papympi(*run, "--output", "a.jsonl").stdout == table
    assert rows(papympi(*run, "--output", "-").stdout) == [
        {"node": "ranked", "key": [], "value": [{"place": 1, "x": 10}, {"place": 2, "x": 30}]}
    ]


def test_targets_are_told_apart(papympi, project):
    (project / "two.py").write_text(
        "from papympi import node\n\n@node\ndef low(x):\n    return x - 1\n\n@node\ndef high(x):\n    return x + 1\n"
    )
    run = ("run", "two.py", "--input", "x=[5]", *INLINE)
    assert sorted(row["value"] for row in rows(papympi(*run).stdout)) == [4, 6]
    assert papympi(*run, "--target", "high").stdout == "6\n"
    assert sorted(row["node"] for row in rows(papympi(*run, "--target", "high", "--target", "low").stdout)) == [
        "high", "low"
    ]  # fmt: skip


VALUES = {
    "number=5": [5],
    "number=[5, 7]": [5, 7],
    "number=-1..2": [-1, 0, 1],
    "number=@numbers.jsonl": [2, 4],
}


@pytest.mark.parametrize("value", VALUES)
def test_values_of_an_input(papympi, squares, project, value):
    (project / "numbers.jsonl").write_text("2\n4\n")
    done = papympi("run", squares, "--input", value, *INLINE)
    assert done.stdout == "".join(f"{number * number}\n" for number in VALUES[value])


def test_paths_lines_and_stdin(papympi, project):
    """Paths, lines and standard input."""
    (project / "shout.py").write_text("from papympi import node\n\n@node\ndef shout(x):\n    return str(x).upper()\n")
    (project / "b.txt").write_text("one\ntwo\n")
    (project / "a.txt").touch()
    run = ("run", "shout.py", *INLINE, "--input")
    assert papympi(*run, "x=*.txt").stdout == '"A.TXT"\n"B.TXT"\n'
    assert papympi(*run, "x=b.txt").stdout == '"B.TXT"\n'
    assert papympi(*run, "x=@b.txt").stdout == '"ONE"\n"TWO"\n'
    assert papympi(*run, "x=-", given="three\nfour").stdout == '"THREE"\n"FOUR"\n'
    assert papympi(*run, "x=just text").stdout == '"JUST TEXT"\n'


def test_endless_ends_with_reader(start, squares):
    """Endless input ends with its reader."""
    process = start("run", squares, "--input", "number=4..", *INLINE)
    assert [process.stdout.readline() for _ in range(3)] == ["16\n", "25\n", "36\n"]
    process.stdout.close()
    assert process.wait(30) == 141
    assert "Traceback" not in process.stderr.read()


def test_results_come_at_once(project):
    """Results are shown while the input goes on."""
    (project / "echo.py").write_text("from papympi import node\n\n@node\ndef echo(x):\n    return x\n")
    with subprocess.Popen(
        [sys.executable, "-m", "papympi", "run", "echo.py", "--input", "x=-", *INLINE],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        for word in ("one", "two"):
            process.stdin.write(f"{word}\n")
            process.stdin.flush()
            assert process.stdout.readline() == f'"{word}"\n'
        process.stdin.close()
        assert process.wait(30) == 0


def test_unordered_has_all(papympi, squares):
    done = papympi("run", squares, "--input", "number=4..40", "--unordered", "--pool", "*=threads:4")
    assert sorted(map(int, done.stdout.split())) == [number * number for number in range(4, 40)]


def test_bounds_and_fusion_change_nothing(papympi, squares):
    """Admission and fusion change nothing."""
    for option in (("--admission", "1"), ("--admission-bytes", "1 kB"), ("--fusion",), ("--no-fusion",)):
        assert papympi("run", squares, "--input", "number=5..9", *INLINE, *option).stdout == "25\n36\n49\n64\n"


def test_module_and_graph(papympi, project):
    (project / "packaged").mkdir()
    (project / "packaged" / "__init__.py").touch()
    (project / "packaged" / "steps.py").write_text(
        "from papympi import Graph\n\nfirst, second = Graph('first'), Graph('second')\n\n"
        "@first.node\ndef one(x):\n    return x + 1\n\n@second.node\ndef two(x):\n    return x + 2\n"
    )
    assert papympi("run", "packaged.steps:first", "--input", "x=1", "--pool", "*=processes:1").stdout == "2\n"
    assert papympi("run", "packaged/steps.py:second", "--input", "x=1", *INLINE).stdout == "3\n"


def test_workers_see_neighbours(papympi, project):
    """Neighbours of the file reach the workers."""
    (project / "lib").mkdir()
    (project / "lib" / "neighbour.py").write_text("def double(x):\n    return 2 * x\n")
    (project / "lib" / "uses.py").write_text(
        "from papympi import node\nfrom neighbour import double\n\n@node\ndef use(x):\n    return double(x)\n"
    )
    assert papympi("run", "lib/uses.py", "--input", "x=4", "--pool", "*=processes:1").stdout == "8\n"


def test_progress_without_terminal(papympi, project):
    """Progress is lines when there is no terminal."""
    (project / "slow.py").write_text(
        "import time\nfrom papympi import node\n\n@node\ndef slow(x):\n    time.sleep(0.4)\n    return x\n"
    )
    run = ("run", "slow.py", "--input", "x=0..5", "--pool", "*=threads:1", "--stride", "slow=1")
    shown = papympi(*run, "--progress").stderr
    assert "| slow " in shown
    assert "left" in shown
    assert "| slow " not in papympi(*run, "--no-progress").stderr


def test_error_tells_what_was_done(papympi, project):
    """What was done before an error is told."""
    (project / "add.py").write_text("from papympi import node\n\n@node(stride=1)\ndef add(a, b):\n    return a / b\n")
    (project / "b.txt").write_text("0\n" * 5)
    done = papympi("run", "add.py", "--input", "a=1..", "--input", "b=@b.txt", "--output", "a.csv", *INLINE)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("papympi: error: inputs that are joined")
    assert "ended early; so far:" in done.stderr
    assert "5 times TypeError in add" in done.stderr
    assert len(rows((project / "a.csv.failures.jsonl").read_text())) == 5


def test_options_of_the_project(papympi, squares, project):
    (project / "papympi.toml").write_text('pool = "elsewhere"\n[pools.elsewhere]\nbackend = "threads"\nworkers = 2\n')
    assert papympi("run", squares, "--input", "number=5").stdout == "25\n"
    (project / "papympi.toml").write_text('pool = "nowhere"\n')
    assert papympi("run", squares, "--input", "number=5").returncode == 2


LEAN = """
import atexit, sys
from papympi import node

@atexit.register
def tell():
    heavy = {"rich", "dill", "mpi4py", "numpy", "psutil", "multiprocessing", "asyncio"} & set(sys.modules)
    print("heavy:", *sorted(heavy), file=sys.stderr)

@node
def same(x):
    return x
"""


def test_quick_run_imports_little(papympi, project):
    """A quick run imports nothing heavy."""
    (project / "lean.py").write_text(LEAN)
    done = papympi("run", "lean.py", "--input", "x=1", *INLINE)
    assert done.stdout == "1\n"
    assert done.stderr.splitlines()[-1] == "heavy:"


def test_options_are_those_at_the_pipeline(papympi, squares, project):
    """The file beside the pipeline counts, wherever the command is given; the current folder's was taken."""
    inner = project / "deep"
    inner.mkdir()
    squares.rename(inner / "squares.py")
    (inner / "papympi.toml").write_text("pool = 'inline'\nadmission = 1\n")
    (project / "papympi.toml").write_text("pool = 'nonsense'\n")
    assert papympi("run", "deep/squares.py", "--input", "number=2").stdout == "4\n"
