"""A run that is cut off goes on where it stopped: whatever cut it off, its output is that of one that was not."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

KILLS = 60
"""How often a run is killed, at a random moment each time."""

PIPELINE = """
import os, time
from papympi import DROP, node

def note(name, *key):
    with open("calls", "a") as file:
        file.write(f"{name} {key}\\n")

@node(stride=3)
def image(x):
    note("image", x)
    time.sleep(PAUSE)
    return DROP if x % 11 == 0 else x * 10

@node(stride=2)
def part(image):
    yield from range(image, image + image % 4)

@node(stride=4, checkpoint=True)
def checked(part):
    note("checked", part)
    if part % 97 == 0:
        raise ValueError("no such part")
    return part + 1

@node(stride=5)
def shown(checked):
    note("shown", checked)
    return f"shown {checked}"

@node(fold=int, stride=4)
def total(so_far, image):
    note("total", image)
    time.sleep(PAUSE)
    return so_far + image
"""


@pytest.fixture
def pipeline(project):
    def make(pause=0.0, items=60):
        (project / "pipe.py").write_text(PIPELINE.replace("PAUSE", str(pause)))
        return ["run", "pipe.py", "--input", f"x=0..{items}", "--pool", "*=processes:2", "--no-progress"]

    return make


@pytest.fixture
def reference(papympi, project):
    """Return what gives the output and the calls of a run that nothing cuts off."""

    def make(command):
        done = papympi(*command, "--run-dir", "whole")
        assert done.returncode in (0, 1), done.stderr
        calls = read_calls(project)
        (project / "calls").unlink()
        return (project / "whole" / "results.jsonl").read_bytes(), calls

    return make


def read_calls(project):
    return Counter((project / "calls").read_text().splitlines()) if (project / "calls").exists() else Counter()


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def count_results(folder):
    with closing(sqlite3.connect(f"file:{folder}/journal.sqlite?mode=rw", uri=True, timeout=20)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return connection.execute("SELECT COUNT(*) FROM results").fetchone()[0]


@pytest.mark.timeout(600)
def test_killed_at_random_moments(start, papympi, pipeline, reference, project, nothing_left):
    command = pipeline(0.01, 120)
    whole, _ = reference(command)
    chance, ends = random.Random(7), 0
    for _ in range(KILLS):
        process = start(*command, "--run-dir", "killed", "--resume")
        wait_for(lambda process=process: (project / "killed" / "lock").exists() or process.poll() is not None)
        try:
            process.wait(chance.uniform(0, 0.8))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
        if process.returncode != -signal.SIGKILL:
            assert process.returncode == 1
            assert (project / "killed" / "results.jsonl").read_bytes() == whole
            ends += 1
            shutil.rmtree("killed")
            continue
        if (project / "killed" / "journal.sqlite").exists() and (project / "killed" / "run.json").exists():
            count_results("killed")
    done = papympi(*command, "--run-dir", "killed", "--resume")
    assert done.returncode == 1, done.stderr
    assert (project / "killed" / "results.jsonl").read_bytes() == whole
    assert ends < KILLS / 2, "the kills came too late to show anything"


@pytest.mark.timeout(150)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_signal_ends_it_with_75(start, papympi, pipeline, reference, project, number, monkeypatch):
    """A signal ends it with 75, and nothing is computed twice."""
    command = pipeline(0.02, 40)
    whole, calls = reference(command)
    if number == signal.SIGUSR2:
        monkeypatch.setenv("PAPYMPI_DRAIN_ON", "USR2")  # as the batch script does with --signal USR2
    process = start(*command, "--run-dir", "run", "--grace", "30")
    wait_for(lambda: sum(read_calls(project).values()) > 30)
    process.send_signal(number)
    _, err = process.communicate(timeout=40)
    assert process.returncode == 75, err
    assert "work remains; go on with --resume --run-dir run" in err
    before = sum(read_calls(project).values())
    assert before < sum(calls.values())
    done = papympi(*command, "--run-dir", "run", "--resume")
    assert done.returncode == 1, done.stderr
    assert (project / "run" / "results.jsonl").read_bytes() == whole
    other = ("image", "checked (291")  # computed again; and the one that fails, if it does so just before SIGTERM
    finished = {call: count for call, count in read_calls(project).items() if not call.startswith(other)}
    assert finished == {call: count for call, count in calls.items() if not call.startswith(other)}


ENDED = """
import os, subprocess, time
from papympi import node

@node(stride=1)
def program(x):
    if x < 2:
        raise ValueError("its own")
    if x == 5:
        with open("pid", "a") as file:
            process = subprocess.Popen(["sleep", "1000" if file.tell() == 0 else "0"])
            print(process.pid, file=file, flush=True)
        if process.wait():
            raise RuntimeError("the program was ended")
    while x == 7 and not os.path.exists("go"):
        time.sleep(0.01)
    return x
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_ended_items_are_tried_again(start, papympi, project, number):
    """A scheduler ends all processes, programs that nodes have started first, and the run a moment later."""
    (project / "pipe.py").write_text(ENDED)
    command = ["run", "pipe.py", "--input", "x=0..8", "--pool", "*=processes:2", "--no-progress"]
    command += ["--run-dir", "run", "--resume"]
    process = start(*command)
    wait_for(lambda: (project / "pid").exists() and (project / "pid").read_text())
    os.kill(int((project / "pid").read_text()), signal.SIGTERM)
    if number == signal.SIGKILL:
        wait_for(lambda: "the program was ended" in papympi("failures", "run").stdout)
    process.send_signal(number)
    time.sleep(0.2)
    (project / "go").touch()
    _, err = process.communicate(timeout=30)
    assert process.returncode == (75 if number == signal.SIGTERM else -signal.SIGKILL), err
    done = papympi(*command)
    assert done.returncode == 1, done.stderr
    listed = papympi("failures", "run").stdout
    assert listed.startswith("2 failures\n"), listed
    assert (project / "run" / "results.jsonl").read_text().count("\n") == 6


def test_only_unfinished_is_computed(papympi, project):
    """What is above a finished result is not computed again."""
    (project / "pipe.py").write_text(
        "from papympi import node\n"
        "def note(name):\n    open('calls', 'a').write(name + '\\n')\n"
        "@node(stride=1)\ndef first(x):\n    note('first')\n    return x\n"
        "@node(pool='threads', stride=1)\ndef second(first):\n    note('second')\n    return first\n"
        "@node(gather=True)\ndef last(second):\n    note('last')\n"
        "    if open('fails').read():\n        raise ValueError(1)\n    return sum(second)\n"
    )
    (project / "fails").write_text("yes")
    command = ["run", "pipe.py", "--input", "x=0..20", "--target", "second", "--target", "last"]
    assert papympi(*command, "--run-dir", "run").returncode == 1
    (project / "fails").write_text("")
    again = papympi(*command, "--run-dir", "run", "--resume")
    assert again.returncode == 1, again.stderr
    retried = papympi(*command, "--run-dir", "run", "--resume", "--retry-failed")
    assert retried.returncode == 0, retried.stderr
    assert read_calls(project) == {"first": 20, "second": 20, "last": 2}
    assert '"value": 190' in (project / "run" / "results.jsonl").read_text()


def test_refused_resume_leaves_results(papympi, squares, project):
    """What a run that is refused at the end of its input had written so far took the place of the whole results."""
    command = ("run", squares, "--run-dir", "run", "--output", "out.csv", "--input")
    papympi(*command, "number=10..2000")
    before = (project / "run" / "out.csv").read_bytes()
    done = papympi(*command, "number=10..1900", "--resume")
    assert done.returncode == 2
    assert "had 1990 items" in done.stderr
    assert (project / "run" / "out.csv").read_bytes() == before
    assert not (project / "run" / "out.csv.part").exists()


def test_the_time_of_grace_ends(start, project):
    (project / "pipe.py").write_text(
        "import pathlib, time\nfrom papympi import node\n\n@node(stride=1)\ndef slow(x):\n"
        "    pathlib.Path(f'began-{x}').touch()\n    time.sleep(600 if x > 2 else 0)\n    return x\n"
    )
    process = start("run", "pipe.py", "--input", "x=0..9", "--pool", "*=processes:2", "--run-dir", "d", "--grace", "1")
    wait_for((project / "began-3").exists)
    process.terminate()
    _, err = process.communicate(timeout=40)
    assert process.returncode == 75, err
    assert "the time of grace is over" in err


@pytest.mark.timeout(150)
def test_a_full_disk(papympi, pipeline, reference, project):
    command = pipeline(items=700)
    whole, _ = reference(command)
    (project / "small").mkdir()
    limits = {}
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", "small"], check=False, stderr=subprocess.DEVNULL
        ).returncode
    )
    if not mounted:
        import resource

        limits = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))}
    try:
        full = papympi(*command, "--run-dir", "small/run", **limits)
        assert full.returncode == 2, full.stderr
        assert "cannot be written" in full.stderr
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=32m", "small"], check=True)
        done = papympi(*command, "--run-dir", "small/run", "--resume")
        assert done.returncode == 1, done.stderr
        assert (project / "small" / "run" / "results.jsonl").read_bytes() == whole
    finally:
        if mounted:
            subprocess.run(["umount", "small"], check=True)


@pytest.mark.timeout(150)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.97])
def test_journal_cut_off(papympi, pipeline, reference, project, share):
    command = pipeline(items=200)
    whole, calls = reference(command)
    journal = project / "whole" / "journal.sqlite"
    os.truncate(journal, int(share * journal.stat().st_size))
    done = papympi(*command, "--run-dir", "whole", "--resume")
    assert done.returncode == 1, done.stderr
    assert ("the journal was damaged (its end is missing)" in done.stderr) == (share > 0)
    assert (project / "whole" / "results.jsonl").read_bytes() == whole
    if share > 0.9:
        assert sum(read_calls(project).values()) < sum(calls.values())


@pytest.mark.timeout(150)
def test_a_journal_of_garbage(papympi, pipeline, reference, project):
    command = pipeline(items=100)
    whole, _ = reference(command)
    journal = project / "whole" / "journal.sqlite"
    data = bytearray(journal.read_bytes())
    data[4096:12288] = b"\xff" * 8192
    journal.write_bytes(data)
    done = papympi(*command, "--run-dir", "whole", "--resume")
    assert done.returncode == 1, done.stderr
    assert "the journal was damaged" in done.stderr
    journal.write_bytes(b"no database at all" * 1000)
    done = papympi(*command, "--run-dir", "whole", "--resume")
    assert done.returncode == 1, done.stderr
    assert "its head is damaged" in done.stderr
    assert (project / "whole" / "results.jsonl").read_bytes() == whole


SLOW = """
import time
from papympi import node

@node(pool="processes", stride=1)
def slow(x):
    with open(f"begun-{x}", "a") as file:
        file.write("x")
    time.sleep(0.4)
    return x
"""


def test_within_starts_only_what_fits(tmp_path):
    """Nothing is started that does not fit in the time left."""
    (tmp_path / "slow.py").write_text(SLOW)
    papympi = Path(sys.executable).parent / "papympi"
    argv = [papympi, "run", "slow.py", "--input", "x=0..24", "--pool", "processes=processes:2", "--no-progress"]
    argv += ["--run-dir", "kept", "--resume"]
    first = subprocess.run([*argv, "--within", "3"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert first.returncode == 75, first.stderr
    assert "nothing more is started" in first.stderr
    begun = len(list(tmp_path.glob("begun-*")))
    assert 0 < begun < 24
    count = subprocess.run([papympi, "status", "kept", "--count"], cwd=tmp_path, capture_output=True, check=True)
    assert int(count.stdout) == begun, "what was started came to its end"
    second = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert (tmp_path / "kept" / "results.jsonl").read_text().count("\n") == 24
    assert [path.read_text() for path in tmp_path.glob("begun-*")] == ["x"] * 24
