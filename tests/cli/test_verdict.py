"""What `papympi run` says at the end of a run with failures, and its exit code."""

from pathlib import Path

import pytest

from papympi.cli.main import main

ODD = """from papympi import node

@node(pool="inline")
def odd(x):
    if x % 2:
        raise ValueError("odd")
    return x
"""


@pytest.fixture
def go(project, capfd):
    """Return what runs a pipeline of which every odd number fails; it returns the exit code and what was said."""
    (project / "odd.py").write_text(ODD)

    def call(*arguments, rows=range(10)):
        (project / "rows.jsonl").write_text("\n".join(map(str, rows)))
        code = main(["run", "odd.py", "--input", "x=@rows.jsonl", "--no-progress", *arguments])
        return code, capfd.readouterr().err

    return call


@pytest.mark.parametrize(
    ("option", "code", "last"),
    [
        ("--accept-failures=50%", 0, "these failures are accepted, as --accept-failures 50% says"),
        ("--accept-failures=5", 0, "these failures are accepted, as --accept-failures 5 says"),
        ("--accept-failures=49.9%", 1, "5 of 10 calls of node 'odd' failed, more than --accept-failures 49.9% accepts"),
        ("--accept-failures=4", 1, "5 of 10 calls failed, more than --accept-failures 4 accepts"),
        ("--max-failures=5", 1, "failures: failures.jsonl"),
    ],
)
def test_failures_are_accepted_or_not(go, option, code, last):
    found, told = go(option)
    assert (found, told.splitlines()[-1]) == (code, last)
    assert "5 times ValueError in odd" in told


def test_a_run_that_only_fails_has_failed(go):
    """Exit code 2 would say that the command is wrong, 75 that it is to be resumed."""
    code, told = go("--max-failures=90%", "--accept-failures=100%", "--run-dir=kept", rows=range(1, 4000, 2))
    *summary, last = told.splitlines()
    assert code == 1
    assert last.startswith("papympi: error: ")
    assert " calls of node 'odd' failed, more than 90% (odd at (0,): ValueError: odd; odd at (1,): " in last
    assert summary[0] == "ended early; so far:"
    assert "failures: kept/failures.jsonl" in summary


def test_accepted_without_failures(go):
    code, told = go("--accept-failures=0", rows=[0, 2])
    assert code == 0
    assert "accept" not in told


def test_an_input_that_broke_off_is_not_accepted(go, capfd):
    """Nobody knows how many rows are missing."""
    with Path("odd.py").open("a") as pipeline:
        pipeline.write("\n@node\ndef x():\n    yield from (0, 2, 4)\n    raise OSError\n")
    code = main(["run", "odd.py", "--no-progress", "--accept-failures=99%"])
    told = capfd.readouterr().err
    assert code == 1
    assert told.splitlines()[-1] == "input 'x' ended with an error: --accept-failures does not cover that"


def test_of_a_resumed_run_all_rows_count(papympi, project):
    """Rows that an earlier attempt has done are not called again, and their failures count."""
    (project / "odd.py").write_text(ODD)
    words = ["run", "odd.py", "--input", "x=[0, 1, 2, 3]", "--run-dir", "kept"]
    assert papympi(*words).returncode == 1
    assert papympi(*words, "--resume", "--accept-failures", "50%").returncode == 0


def test_limits_of_the_project(go, project, monkeypatch):
    """They are options like others: of the file, of the environment, and of `papympi submit`."""
    (project / "papympi.toml").write_text('accept_failures = "50%"\n')
    assert go()[0] == 0
    monkeypatch.setenv("PAPYMPI_ACCEPT_FAILURES", "10%")
    assert go()[0] == 1
    (project / "papympi.toml").write_text('max_failures = "most"\n')
    code, told = go()
    assert code == 2
    assert "papympi.toml: max_failures: 'most' is neither a number of failures" in told


def test_submit_hands_them_on(go, capfd):
    words = ["--max-failures=10%", "--accept-failures=5", "--nodes=1", "--time=10", "--dry-run"]
    assert main(["submit", "odd.py", "--input", "x=0", *words]) == 0
    assert "--max-failures 10% --accept-failures 5" in capfd.readouterr().out
