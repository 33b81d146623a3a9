"""What a run directory tells: failures and how to repeat them, how far the run is; and how shares become one."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

FAILING = """
from papympi import node, resource

@resource
def offset():
    return 100

@node
def halve(x, offset):
    return (x + offset) // 2

@node
def invert(halve):
    return 1 / (halve - 52)

@node(fold=list)
def collect(seen, halve):
    if halve == 53:
        raise KeyError("fifty-three")
    seen.append(halve)
    return seen

@node
def pieces(halve):
    yield halve
    if halve == 51:
        raise RuntimeError("second piece")
    yield -halve
"""


@pytest.fixture
def failed(papympi, project):
    """Return a run directory with failures in a map, a fold and a scatter."""
    (project / "pipe.py").write_text(FAILING)
    done = papympi("run", "pipe.py", "--input", "x=0..8", "--pool", "*=processes:2", "--run-dir", "run")
    assert done.returncode == 1, done.stderr
    return project / "run"


def test_failures_grouped_and_replayed(papympi, failed, project):
    """Failures are listed in groups and repeated."""
    listed = papympi("failures", failed)
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.startswith("5 failures\n\n2 times RuntimeError in pieces: second piece\n  first at item (2,)")
    assert "KeyError in collect" in listed.stdout
    assert f"to repeat one: papympi replay {failed} pieces 2 --pdb" in listed.stdout
    one = papympi("failures", failed, "--node", "collect", "--exception", "KeyError", "--host", os.uname().nodename)
    assert one.stdout.startswith("1 failure\n")
    assert papympi("failures", failed, "--host", "elsewhere").stdout == "0 failures\n"
    rows = [json.loads(line) for line in (failed / "failures.jsonl").read_text().splitlines()]
    assert [row["node"] for row in rows] == ["pieces", "pieces", "invert", "invert", "collect"]
    for node, key, says in [
        ("invert", "4", "ZeroDivisionError"),
        ("collect", "6", "KeyError: 'fifty-three'"),
        ("pieces", "(3,)", "RuntimeError: second piece"),
    ]:
        done = papympi("replay", failed, node, key)
        assert done.returncode == 1
        assert done.stdout.startswith("Traceback")
        assert says in done.stdout
        assert "papympi/" not in done.stdout
    debugged = papympi("replay", failed, "invert", "5", "--pdb", given="p 'here', halve - 52\nq\n")
    assert "('here', 0)" in debugged.stdout
    (project / "pipe.py").write_text(FAILING.replace("halve - 52", "halve + 1"))
    done = papympi("replay", failed, "invert", "4")
    assert (done.returncode, done.stdout[:25]) == (0, "it did not fail this time")
    wrong = papympi("replay", failed, "invert", "44")
    assert wrong.returncode == 2
    assert "node 'invert' did not fail at item (44,); did you mean 'invert 4'?" in wrong.stderr


STAYING = """
from papympi import DROP, node

@node
def double(x):
    return 2 * x

@node(spread=False)
def child(double):
    yield from range(double)
    if double == 8:
        raise RuntimeError("no more")

@node
def even(child):
    return DROP if child % 2 else child

@node
def invert(even, double):
    return 1 / (even - 4 if double == 6 else 1)

@node(fold=list)
def collect(seen, even):
    if len(seen) == 4:
        raise KeyError("five are too many")
    return [*seen, even]

@node(gather=True)
def biggest(invert):
    return max(invert)

@node
def result(collect, biggest):
    return collect, biggest
"""


def test_staying_children_are_replayed(papympi, project):
    """Children that stay where they are made can be repeated."""
    (project / "pipe.py").write_text(STAYING)
    done = papympi("run", "pipe.py", "--input", "x=0..6", "--pool", "*=processes:2", "--run-dir", "run")
    assert done.returncode == 1, done.stderr
    folder = project / "run"
    for node, key, says in [
        ("invert", "3,4", "ZeroDivisionError"),
        ("collect", "5,8", "KeyError: 'five are too many'"),
        ("child", "4", "RuntimeError: no more"),
        ("biggest", "0", "ValueError: max()"),
    ]:
        done = papympi("replay", folder, node, key)
        assert done.returncode == 1, done.stderr
        assert says in done.stdout
        assert "papympi/" not in done.stdout
    (project / "pipe.py").write_text(STAYING.replace("even - 4 if", "even if"))
    done = papympi("replay", folder, "invert", "3,4")
    assert (done.returncode, done.stdout) == (0, "it did not fail this time: 0.25\n")
    (project / "pipe.py").write_text(
        STAYING.replace("even - 4", "1").replace("double == 8", "False").replace("4:", "9:")
    )
    papympi("run", "pipe.py", "--input", "x=0..6", "--run-dir", "run", "--resume", "--retry-failed", "--force")
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert [row["value"][0] for row in rows] == [list(range(0, 2 * x, 2)) for x in range(1, 6)]


SLOW = "import time\nfrom papympi import node\n\n@node(stride=1)\ndef slow(x):\n    time.sleep(0.1)\n    return x\n"


def test_torn_journal_lists_failures(papympi, failed):
    """Failures are listed although the journal was left half written."""
    torn = """
import os, signal, sqlite3, sys
journal = sqlite3.connect(sys.argv[1], isolation_level=None)
journal.execute("PRAGMA cache_size = 1")
journal.execute("BEGIN")
journal.execute("DELETE FROM failures")
for _ in range(1000):
    journal.execute("INSERT INTO payloads (count, body) VALUES (1, ?)", (bytes(5000),))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", torn, failed / "journal.sqlite"], check=False)
    assert (failed / "journal.sqlite-journal").stat().st_size
    listed = papympi("failures", failed)
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.startswith("5 failures\n")


def test_status_and_cancel(start, papympi, project):
    (project / "slow.py").write_text(SLOW)
    process = start("run", "slow.py", "--input", "x=0..5000", "--pool", "*=processes:2", "--run-dir", "run")
    end = time.monotonic() + 40
    while not (project / "run" / "events.jsonl").exists() or int(papympi("status", "run", "--count").stdout) < 3:
        assert time.monotonic() < end
    told = papympi("status", "run").stdout
    assert told.startswith("run: running, last heard of")
    assert "slow" in told
    assert " left" in told
    assert "in the graph at once" in told
    busy = papympi("run", "slow.py", "--input", "x=0..5000", "--run-dir", "run", "--resume")
    assert busy.returncode == 2
    assert f"run is in use by process {process.pid} on {os.uname().nodename}" in busy.stderr
    assert papympi("cancel", "run").stdout == f"asked process {process.pid} to stop\n"
    assert process.wait(30) == 75
    assert papympi("status", "run").stdout.startswith("run: stopped; work remains\n")
    count = int(papympi("status", "run", "--count").stdout)
    assert 3 <= count == len((project / "run" / "results.jsonl").read_text().splitlines())
    gone = papympi("cancel", "run")
    assert (gone.returncode, gone.stderr) == (2, "papympi: error: nothing runs in run\n")
    assert papympi("status", "slow.py").returncode == 2


def test_dead_owners_lock_is_taken(start, papympi, project):
    """The lock of a dead process is taken over."""
    (project / "slow.py").write_text(SLOW)
    process = start("run", "slow.py", "--input", "x=0..30", "--pool", "*=inline", "--run-dir", "run")
    end = time.monotonic() + 40
    while not (project / "run" / "events.jsonl").exists() or not (project / "run" / "events.jsonl").stat().st_size:
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (project / "run" / "lock").exists()
    assert papympi("status", "run").stdout.startswith("run: ended suddenly; work remains\n")
    done = papympi("run", "slow.py", "--input", "x=0..30", "--pool", "*=inline", "--run-dir", "run", "--resume")
    assert done.returncode == 0, done.stderr
    assert f"took over from process {process.pid}" in done.stderr
    assert papympi("status", "run", "--watch").stdout.startswith("run: attempt 2, complete\n")


def modes(folder):
    return {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()}


def test_run_directory_is_private(papympi, squares, project):
    command = ["run", squares, "--input", "number=0..5", "--run-dir", "run"]
    assert papympi(*command).returncode == 1
    run = project / "run"
    assert oct(run.stat().st_mode & 0o777) == "0o700"
    assert modes(run) == {"0o600"}
    record = json.loads((run / "run.json").read_text())
    assert record["command"] == ["papympi", *map(str, command)]
    assert {"papympi", "python", "mpi", "host", "git", "options"} <= record.keys()
    again = papympi(*command)
    assert again.returncode == 2
    assert "run has the journal of an earlier run; go on with it with --resume" in again.stderr
    run.chmod(0o770)
    open_to_others = papympi(*command, "--resume")
    assert open_to_others.returncode == 2
    assert "run can be written to by others" in open_to_others.stderr
    run.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(run / "journal.sqlite", 65534, -1)
        foreign = papympi(*command, "--resume")
        assert foreign.returncode == 2
        assert "journal.sqlite belongs to another user (number 65534)" in foreign.stderr


def test_git_is_noted(papympi, squares, project):
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "add", squares], check=True)
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, "commit", "-qm", "one"], check=True)
    squares.write_text(squares.read_text() + "\n# changed\n")
    papympi("run", squares, "--input", "number=0..2", "--run-dir", "run")
    record = json.loads((project / "run" / "run.json").read_text())
    assert len(record["git"]["revision"]) == 40
    assert record["git"]["dirty"] is True


SHARED = """
from papympi import node

@node
def parts(x):
    yield from range(x % 3)

@node
def line(parts, x):
    return {"x": x, f"c{x % 2}": parts}

@node(gather=True)
def back(line, x):
    return [x, len(line)]
"""


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_shares_merge_in_input_order(papympi, project, suffix):
    """Shares are merged in input order."""
    (project / "pipe.py").write_text(SHARED)
    command = ["run", "pipe.py", "--input", "x=0..20", "--pool", "*=inline", "--output", f"out.{suffix}"]
    command += ["--target", "line", *(["--target", "back"] if suffix != "csv" else [])]
    whole = papympi(*command, "--run-dir", "whole")
    assert whole.returncode == 0, whole.stderr
    for number in (2, 0):
        assert papympi(*command, "--run-dir", f"part{number}", "--shard", f"{number}/3").returncode == 0
    lacking = papympi("merge", "part0", "part2", "--output", f"all.{suffix}")
    assert lacking.returncode == 2
    assert "not all shares are there: missing: 1/3" in lacking.stderr
    papympi(*command, "--run-dir", "part1", "--shard", "1/3")
    merged = papympi("merge", "part2", "part0", "part1", "--output", f"all.{suffix}")
    assert merged.returncode == 0, merged.stderr
    assert (project / f"all.{suffix}").read_bytes() == (project / "whole" / f"out.{suffix}").read_bytes()
    with (project / "part1" / "events.jsonl").open("a") as events:
        events.write('{"event": "stopped", "time": 1}\n')
    late = papympi("merge", "part2", "part0", "part1", "--output", f"all.{suffix}")
    assert "unfinished: 1/3 (part1)" in late.stderr


def test_unshareable_is_refused(papympi, project):
    """What cannot be shared is refused."""
    (project / "pipe.py").write_text(
        "from papympi import node\n\n@node(fold=int)\ndef total(so_far, x):\n    return so_far + x\n"
    )
    command = ["run", "pipe.py", "--input", "x=0..9", "--shard"]
    done = papympi(*command, "0/2", "--run-dir", "run")
    assert done.returncode == 2
    assert "--shard: node 'total' takes the items of all shares together" in done.stderr
    assert "--shard 2/2: it is I/N" in papympi(*command, "2/2", "--run-dir", "run").stderr
    assert "--shard needs a run directory; add --run-dir DIR" in papympi(*command, "0/2").stderr
