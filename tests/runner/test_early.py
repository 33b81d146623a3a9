"""The template that loads a pipeline file while the runner does."""

import subprocess
import sys
import textwrap

import pytest

PIPELINE = """
import os
from papympi import node

with open("loads", "a") as file:
    file.write(f"{os.getpid()} {os.getppid()}\\n")

@node(pool="work")
def pid(number):
    return os.getpid()
"""


@pytest.fixture
def run_pipeline(tmp_path):
    """Run a pipeline with the command line; return the lines that say who has loaded it."""

    def run(*arguments, text=PIPELINE):
        (tmp_path / "pipeline.py").write_text(textwrap.dedent(text))
        command = [sys.executable, "-m", "papympi", "run", "pipeline.py", "--input", "number=0..4", "--no-progress"]
        done = subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        loads = (tmp_path / "loads").read_text().split("\n")[:-1]
        (tmp_path / "loads").unlink()
        return loads

    return run


@pytest.mark.parametrize("pool", ["processes:2", "mpi:2"])
def test_loaded_twice_in_all(run_pipeline, pool):
    """The runner loads a pipeline and one template does, whether that was early or not."""
    assert len(run_pipeline("--pool", f"work={pool}")) == 2


@pytest.mark.parametrize("pool", ["inline", "threads"])
def test_nobody_else_loads_it(run_pipeline, pool):
    """Where the runner calls the functions itself no template is started."""
    assert len(run_pipeline("--pool", f"*={pool}")) == 1


def test_early_one_may_be_wrong(run_pipeline):
    """A template that was started in vain, as the file sets something else, is not used."""
    text = PIPELINE.replace("import os", "import os, sys\nsys.argv.append('more')", 1)
    text += "\nassert sys.argv[-1] == 'more'\n"
    assert len(run_pipeline("--pool", "work=processes:2", text=text)) >= 2


SCRIPT = """
import gc, os, sys
from pathlib import Path
import papympi
from papympi import node, run

def has_server():
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return any("papympi" in Path(f"/proc/{pid}/cmdline").read_text() for pid in children)

@node(pool="processes")
def seeded(number):
    return os.environ.get("PYTHONHASHSEED")
"""


@pytest.fixture
def play(tmp_path):
    """Run a script that ends as given, return what it prints."""

    def run(end):
        (tmp_path / "script.py").write_text(SCRIPT + textwrap.dedent(end))
        done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    return run


def test_server_of_a_refused_run(play):
    """A fork server that was started for a run that cannot be is ended."""
    end = """
        try:
            run({"numbr": [1]})
        except papympi.GraphError:
            print(has_server())
        except papympi.InputError:
            print(has_server())
    """
    assert play(end) == ["False"]


def test_server_of_a_forgotten_run(play):
    """A fork server waits for the first result of a run, and ends with a run that nobody reads."""
    end = """
        forgotten = run({"number": [1]})
        print(has_server())
        del forgotten
        gc.collect()
        print(has_server())
    """
    assert play(end) == ["True", "False"]


def test_changed_since_the_run_was_made(play):
    """A fork server that was started with another environment is not used: it cannot be told everything later."""
    end = """
        results = run({"number": [1]})
        os.environ["PYTHONHASHSEED"] = "7"
        print(*results)
    """
    assert play(end) == ["7"]
