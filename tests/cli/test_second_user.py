"""Another user of the same host cannot read, change, hijack or end anything of a run.

The run is that of whoever runs the tests, who must be root to become somebody else: the stranger is a forked process
that has given up everything, and tries whatever a local user can.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from papympi.cli.main import main
from papympi.model.attempt import attempt
from papympi.stores.rundir import read_own

STRANGER = 60_001
JOB = """
import time
from pathlib import Path
from papympi import node

@node(pool="children", stride=1)
def double(number):
    return 2 * number

@node(pool="ranks", stride=1)
def triple(double):
    Path("working").touch()
    while not Path("over").exists():
        time.sleep(0.01)
    return 3 * double
"""
POOLS = """
[pools.children]
backend = "processes"
workers = 2
[pools.ranks]
backend = "mpi"
workers = 2
"""
ITEMS = 20
PATIENCE_S = 30

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def become_stranger():
    os.setgroups([])
    os.setresgid(STRANGER, STRANGER, STRANGER)
    os.setresuid(STRANGER, STRANGER, STRANGER)


@pytest.fixture
def project(monkeypatch):
    """An empty folder that is the current one, and that everybody can come to, as the usual one cannot."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        monkeypatch.chdir(name)
        yield Path(name)


@pytest.fixture
def as_stranger():
    """Return what calls a function in a process of another user, and returns what that returns."""

    def call(function, *arguments):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                signal.alarm(PATIENCE_S)
                become_stranger()
                os.write(writing, pickle.dumps(attempt(function, *arguments)))
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read()
        os.waitpid(pid, 0)
        value, error = pickle.loads(said)
        assert error is None, str(error)
        return value

    return call


class Victim:
    """A run that works on ranks and child processes, with a run directory."""

    def __init__(self, process, folder):
        self.process, self.folder = process, folder

    def list_processes(self):
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def list_sockets(self):
        """The names of all listening sockets of the run's processes, as anybody can see them."""
        own = {
            inode
            for each in self.list_processes()
            for path in Path(f"/proc/{each.pid}/fd").glob("*")
            if (inode := _find_socket(path))
        }
        rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
        return [row[7] for row in rows if len(row) > 7 and row[6] in own and row[3] == "00010000"]


def _find_socket(path):
    with contextlib.suppress(OSError):
        name = str(path.readlink())
        return name.removeprefix("socket:[").rstrip("]") if name.startswith("socket:[") else ""
    return ""


@pytest.fixture
def victim(start, project):
    (project / "job.py").write_text(JOB)
    (project / "papympi.toml").write_text(POOLS)
    process = start("run", "job.py", "--input", f"number=0..{ITEMS}", "--run-dir", "run")
    end = time.monotonic() + PATIENCE_S
    while not (project / "working").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    return Victim(process, project)


def try_all(tries):
    """Return which of some tries do not end with an error of the system."""
    done = []
    for name, trial in tries:
        try:
            trial()
        except OSError:
            continue
        done.append(name)
    return done


def look_and_harm(folder, pids):
    """Try to look into processes, to end them, and to read and change the run directory."""
    tries = [(f"end {pid}", lambda pid=pid: os.kill(pid, signal.SIGKILL)) for pid in pids]
    for pid in pids:
        tries.append((f"list {pid}", lambda pid=pid: list(Path(f"/proc/{pid}/fd").iterdir())))
        for name in ("mem", "maps", "environ", "cwd/job.py"):
            path = Path(f"/proc/{pid}/{name}")
            tries.append((str(path), lambda path=path: path.read_bytes()))
        tries += [
            (f"{pid} {number}", lambda p=f"/proc/{pid}/fd/{number}": os.open(p, os.O_RDWR)) for number in range(40)
        ]
    names = ("lock", "run.json", "events.jsonl", "journal.sqlite", "failures.jsonl", "job", "new")
    for name in names:
        path = folder / name
        tries += [(f"read {name}", path.read_bytes), (f"write {name}", lambda path=path: path.write_bytes(b"mine"))]
        tries += [(f"remove {name}", path.unlink), (f"link {name}", lambda path=path: os.link(path, "/tmp/mine"))]
    tries += [("list", lambda: list(folder.iterdir())), ("move", lambda: folder.rename(folder.with_name("mine")))]
    return try_all(tries)


def talk(names):
    """Talk to sockets, as the run's own processes would and otherwise; return to which of them one was an answer."""
    answered = []
    words = [b"", b"\0" * 4096, pickle.dumps(("hello", 1)), b"GET / HTTP/1.0\r\n\r\n", os.urandom(100_000)]
    for name in names:
        for word in words:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mine, contextlib.suppress(OSError):
                mine.settimeout(0.3)
                mine.connect(f"\0{name[1:]}" if name.startswith("@") else name)
                mine.sendall(word)
                if mine.recv(1000):
                    answered.append(name)
    return answered


def call_commands(folder):
    """Return the exit codes of all commands that read a run directory."""
    os.close(1), os.close(2)
    os.open(os.devnull, os.O_WRONLY), os.dup(1)
    commands = (["status"], ["failures"], ["cancel"], ["merge"], ["replay"])
    return [main([*command, str(folder), *(["1"] if command == ["replay"] else [])]) for command in commands]


def finish(victim):
    """Return the values of the run, which must have ended as if nobody had been there."""
    (victim.folder / "over").touch()
    said = victim.process.communicate(timeout=PATIENCE_S)
    assert victim.process.returncode == 0, said
    return [json.loads(line) for line in (victim.folder / "run" / "results.jsonl").read_text().splitlines()]


def test_nothing_of_a_run_is_open(victim, as_stranger):
    """Memory files have no name, the run directory is its owner's, and sockets ask who it is: nobody else gets in."""
    pids = [process.pid for process in victim.list_processes()]
    assert len(pids) > 6
    assert as_stranger(look_and_harm, victim.folder / "run", pids) == []
    sockets = victim.list_sockets()
    assert sockets
    assert as_stranger(talk, sockets) == []
    assert [pid for pid in pids if psutil.pid_exists(pid)] == pids
    assert [row["value"] for row in finish(victim)] == [6 * number for number in range(ITEMS)]


def test_commands_refuse_anothers_run(victim, as_stranger):
    """`cancel` and the others say that it is not theirs, and do nothing."""
    assert set(as_stranger(call_commands, victim.folder / "run")) == {2}
    assert len(finish(victim)) == ITEMS


def plant(folder):
    """Make what a run may come across in a folder that everybody may write to."""
    (folder / "run").mkdir()
    (folder / "run").chmod(0o777)
    (folder / "file").symlink_to("/etc/passwd")
    (folder / "papympi.toml").write_text('[pools.default]\nbackend = "threads"\n')


@pytest.fixture
def shared(project, as_stranger):
    """A folder as /tmp, where the other user was first."""
    folder = project / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    as_stranger(plant, folder)
    yield folder
    shutil.rmtree(folder)


def test_planted_folders_are_refused(shared, papympi, squares):
    """A run directory that was made by another user is not taken: what is unpickled there would be theirs."""
    done = papympi("run", squares, "--input", "number=0..3", "--run-dir", shared / "run")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert str(shared / "run") in done.stderr
    assert not any((shared / "run").iterdir())
    with pytest.raises(Exception, match="link|own"):
        read_own(shared / "file")


def test_planted_settings_are_refused(shared, papympi, squares):
    """Settings decide what is run: those of another user are not read."""
    pipeline = shared / "squares.py"
    pipeline.write_text(squares.read_text())
    done = papympi("run", pipeline, "--input", "number=0..3")
    assert done.returncode == 2
    assert "papympi.toml" in done.stderr
    assert len(done.stderr.splitlines()) == 1
