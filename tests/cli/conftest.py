"""The command line as users call it: a process of its own, in an empty folder."""

import subprocess
import sys

import pytest

from papympi.cli.main import main

COMMAND = [sys.executable, "-m", "papympi"]


@pytest.fixture
def papympi(project):
    """Return what runs `papympi` with some arguments; `given` becomes its standard input."""

    def call(*arguments, given="", **options):
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            input=given, capture_output=True, text=True, timeout=50, check=False, **options,
        )  # fmt: skip

    return call


@pytest.fixture
def call(request, project, monkeypatch, capfd):
    """Return what calls the command line in this process, and returns its code and both outputs.

    The module's `PIPELINE` is in the file `p.py`.
    """
    (project / "p.py").write_text(request.module.PIPELINE)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def papympi(*arguments):
        for name in [name for name in sys.modules if name.startswith("pipeline_")]:
            monkeypatch.delitem(sys.modules, name)
        code = main(list(map(str, arguments)))
        out, err = capfd.readouterr()
        assert 'Traceback (most recent call last):\n  File "<frozen' not in err
        return code, out, err

    return papympi


@pytest.fixture
def start(project):
    """Return what starts `papympi` in a session of its own, as a shell's job; it is killed at the test's end."""
    started = []

    def call(*arguments):
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def squares(project):
    """Return a pipeline of one node with one input; the item 3 fails."""
    path = project / "squares.py"
    path.write_text(
        "from papympi import node\n\n"
        "@node\n"
        "def square(number):\n"
        "    if number == 3:\n"
        "        raise ValueError('no threes')\n"
        "    return number * number\n"
    )
    return path
