"""The demo: the main job on real input, the sources of Python's own standard library."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from papympi.launchers.search import find_launcher

EXAMPLE = Path(__file__).parent.parent / "examples" / "stdlib_metrics.py"
PART = f"path={sysconfig.get_path('stdlib')}/[a-f]*.py"
PAPYMPI = [sys.executable, "-m", "papympi"]
RUN = [*PAPYMPI, "run", str(EXAMPLE), "--target", "module", "--target", "ranking"]


def run_demo(command, folder):
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [*command, "--output", "metrics.jsonl"],
        cwd=folder, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return (folder / "metrics.jsonl").read_bytes(), done


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return the bytes that all ways to run it must give."""
    return run_demo([*RUN, "--input", PART, "--pool", "*=inline"], tmp_path_factory.mktemp("demo"))[0]


@pytest.mark.parametrize(
    "options",
    [
        ["--pool", "*=inline", "--stride", "*=1"],
        ["--pool", "*=inline", "--stride", "*=7", "--no-fusion"],
        ["--pool", "*=threads:3", "--stride", "function=3", "--stride", "measured=50"],
        ["--pool", "mpi=processes:2", "--admission", "20"],
        [],
    ],
    ids=" ".join,
)
def test_pools_change_no_byte(options, expected, tmp_path):
    """Pools and strides change no byte."""
    assert run_demo([*RUN, "--input", PART, *options], tmp_path)[0] == expected


def test_ranks_change_no_byte(expected, tmp_path):
    assert run_demo([find_launcher().path, "-n", "3", *RUN, "--input", PART], tmp_path)[0] == expected


@pytest.mark.timeout(300)
def test_ranking_on_ranks(tmp_path):
    """All modules that are no part of a package, on four ranks; `make demo` takes the whole library."""
    files = f"path={sysconfig.get_path('stdlib')}/*.py"
    written, done = run_demo([find_launcher().path, "-n", "4", *RUN, "--input", files, "--progress"], tmp_path)
    rows = [json.loads(line) for line in written.splitlines()]
    modules, [ranking] = rows[:-1], rows[-1:]
    assert len(modules) > 150
    assert {row["node"] for row in modules} == {"module"}
    assert "argparse.py" in {row["value"]["path"] for row in modules}
    assert sum(row["value"]["functions"] for row in modules) > 4_000
    assert (ranking["node"], ranking["key"], len(ranking["value"])) == ("ranking", [], 10)
    worst = [row["complexity"] for row in ranking["value"]]
    assert worst == sorted(worst, reverse=True)
    assert done.stdout.splitlines()[0].split() == ["complexity", "lines", "function", "place"]
    assert len(done.stdout.splitlines()) == 12
    assert "| function " in done.stderr


def test_complexity_of_branches(tmp_path):
    """Complexity is that of the branches."""
    (tmp_path / "sample.py").write_text(
        "class Outer:\n"
        "    def plain(self):\n"
        "        return [x for x in self if x]\n"
        "\n"
        "    async def branches(self, a, b):\n"
        "        def inner():\n"
        "            if a:\n"
        "                pass\n"
        "        while a and b or not a:\n"
        "            for x in a if b else ():\n"
        "                assert x\n"
        "        try:\n"
        "            pass\n"
        "        except ValueError:\n"
        "            with a:\n"
        "                pass\n"
    )
    (tmp_path / "broken.py").write_text("def (\n")
    (tmp_path / "lying.py").write_bytes(b"# coding: utf-8\n\xff\n")
    written, _ = run_demo([*RUN, "--input", f"path={tmp_path}/*.py", "--pool", "*=inline"], tmp_path / "out")
    values = [json.loads(line)["value"] for line in written.splitlines()]
    assert [value["functions"] for value in values[:-1]] == [0, 3]
    assert {row["function"]: row["complexity"] for row in values[-1]} == {
        "Outer.branches": 9,
        "Outer.plain": 2,
        "Outer.branches.inner": 2,
    }
