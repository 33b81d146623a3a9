"""The pools of MPI ranks: the contract, in a world of ranks and at home, and how local ranks end."""

import contextlib
import os
import re
import signal
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

import papympi
from papympi.errors import LaunchError, OptionError, PoolError, ShippingError, WorkerLost
from papympi.pools import mpi4py
from papympi.pools.links import RankPlace, open_ranks
from papympi.pools.mpi import BACKEND, MpiPool
from papympi.testing import Driver, PoolContract, build_map, values_of
from papympi.transport.packed import Packed, PackedFile
from papympi.transport.records import Logs
from papympi.transport.task import Kind, Lost, Task
from papympi.workers.ranks.messages import ChildLost, ChildrenFailed, LogsForwarded, ProgramMissing, ProgramOpened

WORLD = """
    import sys

    import pytest

    from papympi.runner.launch import rank_main

    sys.exit(rank_main(lambda: int(pytest.main(sys.argv[1:]))))
"""


class TestMpi(PoolContract):
    """At home local ranks are started; in a world of ranks these are used."""

    @pytest.fixture
    def pool_factory(self):
        return lambda: MpiPool("mpi", workers=2)


class TestMpiItself(PoolContract):
    """The ranks evaluate themselves."""

    @pytest.fixture
    def pool_factory(self):
        return lambda: MpiPool("mpi", workers=2, isolate=False)


class TestMpi4py(PoolContract):
    @pytest.fixture
    def pool_factory(self):
        if "papympi.workers.ranks.allocation" not in sys.modules or mpi4py.joined() is None:
            pytest.skip("there are no ranks; `test_contract_among_ranks` runs this again, in one")
        return lambda: mpi4py.make("mpi4py", workers=2)


@pytest.mark.timeout(150)
@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("suite", ["TestMpi", "TestMpiItself", "TestMpi4py"])
def test_contract_among_ranks(mpi, suite, tmp_path):
    """The contract holds in a world of ranks."""
    script = tmp_path / "world.py"
    script.write_text(textwrap.dedent(WORLD))
    options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", f"{__file__}::{suite}"]
    done = mpi.run(3, "python", script, *options, timeout=120, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "there are no ranks" not in done.stdout


@pytest.fixture
def local(nothing_left):
    """Opens pools of local ranks."""
    pools = []

    def open_pool(function, workers=2, timeout=None, **options):
        pool = MpiPool("mpi", workers=workers, **options)
        pool.open(build_map(function, by_value=[__name__], timeout=timeout))
        pools.append(pool)
        return Driver(pool)

    yield open_pool
    for pool in pools:
        pool.kill()


def get_pid(_):
    return os.getpid()


def die(signal_number):
    os.kill(os.getpid(), signal_number)


def leave(code):
    os._exit(code)


def say(text):
    print(text)
    print(text.upper(), file=sys.stderr)
    os.write(1, b"hello from C\n")
    os.write(2, b"HELLO FROM C\n")


def test_it_says_what_it_is():
    assert BACKEND.capabilities.streams
    assert BACKEND.capabilities.survives_crash
    assert isinstance(BACKEND.make("mpi", workers=3, ranks="1-2", places=1, workers_per_rank=4), MpiPool)
    itself = BACKEND.make("mpi", isolate=False).capabilities
    assert (itself.survives_crash, itself.can_kill, itself.streams) == (False, False, True)


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 0},
        {"workers": "x"},
        {"places": 0},
        {"ranks": "0-1"},
        {"isolate": "no"},
        {"workers_per_rank": 0},
        {"workers_per_rank": 2, "isolate": False},
        {"memory": "1 GB", "isolate": False},
        {"shared_memory": 0, "isolate": False},
        {"shared_memory": "much"},
        {"memory": "much"},
    ],
)
def test_options_that_cannot_be(options):
    with pytest.raises(OptionError, match="pool 'mpi'"):
        MpiPool("mpi", **options)


def test_program_never_loads_mpi(local):
    """The program itself never loads MPI."""
    driver = local(get_pid, workers=3)
    pids = {values_of(driver.call([0], worker=worker))[0] for worker in range(3)}
    assert len(pids) == 3
    assert os.getpid() not in pids
    assert "mpi4py.MPI" not in sys.modules
    driver.pool.close()
    assert not any(map(psutil.pid_exists, pids))


def test_long_tmpdir(local, monkeypatch, tmp_path):
    """As batch systems make them; a socket's name may have 107 bytes."""
    folder = tmp_path / ("d" * 110)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    assert values_of(local(abs).call([-1, -2])) == [1, 2]
    assert list(folder.iterdir()) == []


def test_prints_are_seen(local):
    """What ranks print is seen, also what C code writes."""
    driver = local(say)
    number, logs, outcome = driver.submit(Kind.CALL, ["hello from a rank"]), [], None
    while outcome is None:
        for arrival in driver.pool.collect():
            logs += [] if getattr(arrival, "logs", None) is None else [arrival.logs]
            logs += [arrival] if isinstance(arrival, Logs) else []
            outcome = arrival if getattr(arrival, "task", None) == number else outcome
        time.sleep(0.01)
    driver.pool.close()
    assert sorted((record.name, record.text) for some in logs for record in some.records) == [
        ("output", "HELLO FROM C"),
        ("output", "hello from C"),
        ("stderr", "HELLO FROM A RANK"),
        ("stdout", "hello from a rank"),
    ]


@pytest.mark.parametrize(("function", "argument"), [(die, 9), (die, 11), (leave, 3), (leave, 0)])
def test_dead_rank_breaks_pool(local, function, argument):
    """A rank that dies breaks the pool."""
    driver = local(function, isolate=False)
    with pytest.raises(PoolError, match=r"(?s)'mpi': a rank ended and took the others with it.*`isolate = true`"):
        driver.call([argument])


def test_rank_has_several_workers(local):
    driver = local(lambda _: (os.getppid(), os.getpid()), workers_per_rank=2)
    names = [label.split(" on ")[0] for label in driver.pool.workers]
    assert names == ["mpi[0] rank 1", "mpi[1] rank 2", "mpi[2] rank 1", "mpi[3] rank 2"]
    family = [values_of(driver.wait(driver.submit(Kind.CALL, [0], worker=worker)))[0] for worker in range(4)]
    assert len({pid for _, pid in family}) == 4
    servers = [server for server, _ in family]
    assert servers[0] == servers[2] != servers[1] == servers[3]


def test_crash_has_worker_number(local):
    """A crash is reported under the number of its worker."""
    driver = local(die, workers_per_rank=2, memory="1 GB")
    number = driver.submit(Kind.CALL, [9], worker=3)
    lost = driver.wait_lost()
    assert (lost.worker, lost.task, lost.position) == (3, number, 0)
    assert re.fullmatch(r"mpi\[3\] rank 2 pid \d+ on .+", lost.error.worker)
    assert values_of(driver.wait(driver.submit(Kind.CALL, [0], worker=3))) == [None]


def hang(_):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})  # what raises at the time-out cannot come
    time.sleep(1000)


def test_hanging_rank_ends_run(local, monkeypatch):
    """A rank itself that hangs ends the run."""
    monkeypatch.setattr("papympi.pools.mpi.GRACE_S", 0.5)
    driver = local(hang, isolate=False, timeout=0.1)
    driver.submit(Kind.CALL, [1, 2], worker=1)
    assert driver.pool.deadline() is not None
    told = r"'mpi': mpi\[1\] rank 2 on .* hangs: its batch of 2 calls of 'hang' may take 0.2 s .*isolate = true"
    with pytest.raises(PoolError, match=told):
        driver.wait(1)
    driver.pool.kill()


def test_failed_children_break_pool(local, monkeypatch):
    """Children that cannot start break the pool."""
    monkeypatch.setenv("PAPYMPI_WITHOUT_CHILDREN", "1")
    with pytest.raises(PoolError, match=r"mpi\[\d\] rank \d cannot start its children: .*isolate = false"):
        local(get_pid)


def work_long(path):
    Path(path).touch()
    time.sleep(30)
    Path(f"{path}-ended").touch()


@pytest.mark.parametrize("isolate", [True, False])
def test_kill_ends_ranks_at_work(local, isolate, tmp_path):
    """Killed at work it is gone, and nobody waits for the end of what it was at."""
    others = psutil.Process().children(recursive=True)  # those that the standard library keeps for later
    driver = local(work_long, isolate=isolate)
    driver.submit(Kind.CALL, [str(tmp_path / "begun")])
    while not (tmp_path / "begun").exists():
        driver.pool.collect()
    ranks = set(psutil.Process().children(recursive=True)) - set(others)
    assert len(ranks) >= (8 if isolate else 4)
    driver.pool.kill()
    assert not (tmp_path / "begun-ended").exists()
    _, alive = psutil.wait_procs(ranks, timeout=5)  # on a busy machine a killed process takes a moment to end
    assert all(rank.status() == psutil.STATUS_ZOMBIE for rank in alive)


def has_launched(process):
    """Whether a process has started mpiexec for its ranks, and not only asked which one it is."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return any("relay" in " ".join(child.cmdline()) for child in process.children())
    return False


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.1, 0.3, 0.6])
def test_killed_start_leaves_nothing(mpich, seconds, tmp_path, nothing_left):
    """Between the making of a folder for the socket and the first rank that knew of it, a kill left the folder."""
    path = tmp_path / "program.py"
    path.write_text("import papympi\nprint('!', flush=True)\nlist(papympi.map(abs, range(10**9), pool='mpi:2'))\n")
    process = mpich.start(0, "python", path, cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert process.stdout.readline() == "!\n"
    time.sleep(seconds)
    process.kill()
    process.communicate()
    nothing_left()
    assert list(tmp_path.glob("papympi-*")) == []


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("begun", ["starting", "idle", "working"])
def test_ranks_end_with_program(mpi, begun, tmp_path):
    """Ranks end with a program that is killed."""
    path = tmp_path / "program.py"
    path.write_text(
        textwrap.dedent(f"""
            import time
            from pathlib import Path
            from papympi.pools.mpi import MpiPool
            from papympi.testing import Driver, build_map
            from papympi.transport.task import Kind

            def work(x):
                Path("working").touch()
                time.sleep(1000)

            Path("starting").touch()
            driver = Driver(MpiPool("mpi", workers=2))
            driver.pool.open(build_map(work))
            Path("idle").touch()
            if {begun!r} == "working":
                driver.submit(Kind.CALL, [0])
            time.sleep(1000)
        """)
    )
    process = mpi.start(0, "python", path, cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)})
    deadline = time.monotonic() + 20
    family = psutil.Process(process.pid)
    while not (tmp_path / begun).exists() or not has_launched(family):
        assert time.monotonic() < deadline, process.communicate()
        time.sleep(0.005)
    ranks = family.children(recursive=True)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(ranks, 10)
    assert [rank for rank in alive if rank.status() != psutil.STATUS_ZOMBIE] == []
    while (left := list(tmp_path.glob("papympi-*"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def test_stopped_program_goes_on(mpich, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(
        textwrap.dedent("""
            import time
            from papympi import map
            print(*map(lambda x: time.sleep(0.01) or x, range(100), pool="mpi"))
        """)
    )
    process = mpich.start(0, "python", path)
    time.sleep(1.0)
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=40)
    assert (process.returncode, out.split()) == (0, list(map(str, range(100)))), err


@pytest.fixture
def fake_mpiexec(tmp_path, monkeypatch):
    """Puts a program in the place of mpiexec."""

    def write(text):
        monkeypatch.setattr("sys.prefix", str(tmp_path))
        (tmp_path / "bin").mkdir()
        path = tmp_path / "bin" / "mpiexec"
        path.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo HYDRA; exit; fi\n{text}\n')
        path.chmod(0o755)

    return write


@pytest.mark.usefixtures("nothing_left")
def test_failed_start_is_shown(fake_mpiexec):
    """A start that fails shows what was said."""
    fake_mpiexec("echo 'no slots today' >&2; exit 7")
    with pytest.raises(LaunchError, match=r"(?s)local ranks could not be started.*exit code 7.*no slots today"):
        MpiPool("mpi", workers=1).open(build_map(get_pid))


@pytest.mark.usefixtures("nothing_left")
def test_ranks_that_do_not_meet(fake_mpiexec):
    """Ranks that do not meet are told of."""
    fake_mpiexec('while [ "$1" != -n ]; do shift; done; shift 2; exec "$@"')  # one process, and no world
    with pytest.raises(LaunchError, match=r"promised 3 ranks, but .* sees 1"):
        MpiPool("mpi", workers=2).open(build_map(get_pid))


@pytest.mark.usefixtures("nothing_left")
def test_no_mpiexec_is_explained(monkeypatch, tmp_path):
    """No mpiexec says how to get one."""
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LaunchError, match=r"pip install 'papympi\[mpi\]'"):
        MpiPool("mpi").open(build_map(get_pid))


def test_mpi4py_without_ranks():
    """The executor of mpi4py says how to get ranks."""
    with pytest.raises(LaunchError, match="papympi run --ranks 3 FILE"):
        mpi4py.make("mpi4py", workers=2)


class Ranks:
    """A way to ranks that answer what they are told to, in turn."""

    def __init__(self, hosts, answers):
        self.places = [RankPlace(number + 1, host, 0) for number, host in enumerate(hosts)]
        self.answers = answers
        self.sent = []
        self.messages = []

    def send(self, number, message):
        self.sent.append((number, message))
        self.messages += [(number, answer) for answer in self.answers(number, message)]

    def take(self):
        messages, self.messages = self.messages, []
        return messages

    def fileno(self):
        return None

    def kill(self):
        pass


@pytest.mark.parametrize(("size", "stores"), [(100_000, True), (100_000, False), (1000, False)])
def test_big_program_goes_once(size, stores):
    """A big program is sent to one rank of a host, and to those that do not find it."""
    packed = Packed(bytes(size))

    def answer(number, program):
        if isinstance(program, PackedFile):
            again = ProgramOpened(PackedFile("again", b""))
            return [ProgramMissing()] if number == 4 else [LogsForwarded(number), again]
        return [ProgramOpened(PackedFile(f"of {number}", b"") if stores else None)]

    ranks = Ranks(["a", "b", "a", "b", "a"], answer)
    heard = list(open_ranks(ranks, packed, lambda _, program, __: program, share=False))
    sent = [(number, getattr(program, "path", "all of it")) for number, program in ranks.sent]
    assert sorted(number for number, message in heard if isinstance(message, ProgramOpened)) == [0, 1, 2, 3, 4]
    if stores:
        assert sent[:2] == [(0, "all of it"), (1, "all of it")]
        assert sorted(sent[2:]) == [(2, "of 0"), (3, "of 1"), (4, "all of it"), (4, "of 0")]
        assert [(number, said.logs) for number, said in heard if isinstance(said, LogsForwarded)] == [(2, 2), (3, 3)]
    else:
        assert sorted(sent) == [(number, "all of it") for number in range(5)]


@pytest.mark.usefixtures("nothing_left")
def test_unloadable_breaks_pool():
    """Ranks whose children cannot load a big program break the pool while others open it."""

    class Spoilt:
        def __init__(self):
            self.table = bytes(1 << 20)

        def __reduce__(self):
            return fail_to_load, (self.table,)

    spoilt = Spoilt()
    graph = papympi.Graph("spoilt")
    graph.node(lambda x: spoilt.table[x], name="f", inputs={"x": "x"}, pool="mpi")
    for workers in (1, 3):
        pools = {"mpi": {"backend": "mpi", "workers": workers}}
        results = papympi.run({"x": range(9)}, graph=graph, pools=pools)
        with results, pytest.raises(ShippingError, match="cannot be loaded here"):
            next(results)


def fail_to_load(_):
    raise ValueError("cannot be loaded here")


def open_with(monkeypatch, *early):
    """Open a pool of two ranks, of which one has something to say before it has opened the program."""
    ranks = Ranks(["a", "b"], lambda number, _: [*early[: len(early) * number], ProgramOpened(None)])
    monkeypatch.setattr(MpiPool, "_connect", lambda _: ranks)
    pool = MpiPool("mpi")
    pool.open(build_map(get_pid, by_value=[__name__]))
    ranks.answers = lambda *_: []
    return pool, ranks


def test_early_news_counts(monkeypatch):
    """What ranks say while others open the program counts."""
    lost = Lost(0, WorkerLost("mpi[1]", "exit code 3"))
    pool, ranks = open_with(monkeypatch, ChildLost(lost), LogsForwarded(Logs("mpi[1]")))
    assert [type(news) for news in pool.collect()] == [Logs]
    pool.submit(1, Task(1, Kind.CALL, 0))
    number, order = ranks.sent[-1]
    assert (number, order.deaths) == (1, 1)
    with pytest.raises(ShippingError, match="cannot load"):
        open_with(monkeypatch, ChildrenFailed(ShippingError("cannot load")))
