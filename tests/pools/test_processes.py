"""The pool of child processes: results, real crashes and their culprits, and that nothing is left of it."""

import atexit
import ctypes
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from papympi.errors import OptionError, PoolError, ShippingError
from papympi.plan.program import Argument, Call, Program, Stage
from papympi.pools.processes import BACKEND, ProcessesPool
from papympi.testing.driver import build_task as call
from papympi.transport.task import Kind, Lost, Outcome, Task
from papympi.workers.cpus import count_cpus

BY_VALUE = ("__main__", __name__)


def build_map(*functions):
    """A program of one stage that calls the functions one after the other."""
    calls = tuple(Call(function.__name__, function, (Argument(i),)) for i, function in enumerate(functions))
    return Program({0: Stage("map", 1, calls, (len(calls),))}, by_value=BY_VALUE)


def build_scatter(function):
    return Program({0: Stage("scatter", 1, (Call("children", function, (Argument(0),)),), (1,))}, by_value=BY_VALUE)


def start(number, values, chunk, generator=1):
    return call(number, values, kind=Kind.START, generator=generator, chunk=chunk)


def wait(pool, count=1, seconds=30.0):
    """Collect until `count` outcomes and losses have come."""
    news = []
    deadline = time.monotonic() + seconds
    while len(news) < count:
        left = deadline - time.monotonic()
        assert left > 0, f"{len(news)} of {count} came: {news}"
        select.select([pool.fileno()], [], [], left)
        news += pool.collect()
    return news


def values_of(outcome):
    assert isinstance(outcome, Outcome)
    return [value for payload in outcome.outputs[0].payloads for value in payload.values()]


def count_descriptors():
    return psutil.Process().num_fds()


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_gone(pids, seconds=5.0):
    """Whether all of these processes end within `seconds`."""
    deadline = time.monotonic() + seconds
    while any(map(is_running, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def open_pool():
    """Opens pools, and sees at the end that nothing is left of them."""
    pools = []
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    descriptors = count_descriptors()

    def open_one(program, workers=2, places=2):
        pool = ProcessesPool("processes", workers, places)
        pools.append(pool)
        pool.open(program)
        return pool

    yield open_one
    for pool in pools:
        pool.kill()
    left = {child.pid for child in psutil.Process().children(recursive=True)} - children
    assert not left
    assert count_descriptors() == descriptors


def plus_one(x):
    return x + 1


def double(x):
    return 2 * x


def die(how):
    """What the tests ask for by name; anything else is returned as it is."""
    if how == "exit":
        os._exit(3)
    elif how == "segv":
        ctypes.string_at(0)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "abort":
        os.abort()
    return how


ENDS = [("exit", "exit code 3"), ("segv", "SIGSEGV"), ("kill", "SIGKILL"), ("abort", "SIGABRT")]


def test_batches_come_home(open_pool):
    """Batches come home from every worker."""
    pool = open_pool(build_map(plus_one, double), workers=3)
    for number in range(6):
        pool.submit(number % 3, call(number, range(number, number + 4)))
    news = {outcome.task: values_of(outcome) for outcome in wait(pool, 6)}
    assert news == {n: [2 * (x + 1) for x in range(n, n + 4)] for n in range(6)}
    assert pool.collect() == []


def test_lambda_and_closure(open_pool):
    """Lambda and closure travel."""
    base = 10
    add = lambda x: x + base  # noqa: E731 - a lambda is what is tested
    pool = open_pool(build_map(add))
    pool.submit(1, call(1, [1, 2]))
    assert values_of(wait(pool)[0]) == [11, 12]


@pytest.mark.parametrize(("how", "reason"), ENDS)
def test_crash_in_map_names_culprit(open_pool, how, reason):
    """A crash in a map names the culprit and costs only its worker."""
    pool = open_pool(build_map(die))
    pool.submit(0, call(1, ["a", "b"]))
    pool.submit(0, call(2, ["c", "d", how, "e"]))
    pool.submit(1, call(3, ["x"]))
    news = wait(pool, 3)
    (lost,) = [arrival for arrival in news if isinstance(arrival, Lost)]
    outcomes = {arrival.task: values_of(arrival) for arrival in news if isinstance(arrival, Outcome)}
    assert outcomes == {1: ["a", "b"], 3: ["x"]}
    assert (lost.worker, lost.task, lost.node, lost.position) == (0, 2, "die", 2)
    assert lost.error.reason.startswith(reason)
    assert lost.error.worker.startswith("processes[0] pid ")
    pool.submit(0, call(4, ["f"]))
    pool.submit(1, call(5, ["g"]))
    assert sorted(values_of(outcome) for outcome in wait(pool, 2)) == [["f"], ["g"]]


@pytest.mark.parametrize(("how", "reason"), ENDS)
def test_crash_in_generator(open_pool, how, reason):
    """A crash in a generator names the parent."""

    def children(x):
        yield x
        yield die(x)
        yield x

    pool = open_pool(build_scatter(children))
    pool.submit(0, start(1, ["a", "b", how, "c"], chunk=7))
    (first,) = wait(pool)
    assert values_of(first) == ["a"] * 3 + ["b"] * 3 + [how]
    pool.submit(0, Task(2, Kind.ADVANCE, 0, generator=1, chunk=7))
    (lost,) = wait(pool)
    assert (lost.worker, lost.task, lost.node, lost.position) == (0, 2, "children", 2)
    assert lost.error.reason.startswith(reason)


def test_culprit_is_a_node(open_pool):
    """The culprit is the node of a stage."""

    def keep(x):
        return x

    pool = open_pool(build_map(keep, die, keep))
    pool.submit(1, call(1, ["a", "segv"]))
    (lost,) = wait(pool)
    assert (lost.worker, lost.task, lost.node, lost.position) == (1, 1, "die", 1)


def test_task_on_its_way_is_innocent(open_pool):
    """A task on its way to a dead worker is not the culprit."""
    pool = open_pool(build_map(die), workers=1)
    pool.submit(0, call(1, ["exit"]))
    pool.submit(0, call(2, ["a"]))
    (lost,) = wait(pool)
    assert (lost.task, lost.position) == (1, 0)
    pool.submit(0, call(2, ["a"]))
    assert values_of(wait(pool)[0]) == ["a"]


def test_idle_kill_has_no_culprit(open_pool):
    """A worker killed while idle has no culprit."""

    def pid_of(_):
        return os.getpid()

    pool = open_pool(build_map(pid_of), workers=1)
    pids = set()
    for number in range(5):
        pool.submit(0, call(number, [0]))
        pids |= set(values_of(wait(pool)[0]))
        os.kill(max(pids, key=psutil.pid_exists), signal.SIGKILL)
        (lost,) = wait(pool)
        assert (lost.worker, lost.task, lost.node, lost.position) == (0, None, "", None)
    assert len(pids) == 5


def test_grandchildren_die_too(open_pool, tmp_path):
    """What a function started dies with its worker and with the pool."""

    def start_some(how):
        pids = [
            subprocess.Popen(["sleep", "100"]).pid,
            subprocess.Popen(["sleep", "100"], start_new_session=True).pid,
        ]
        (tmp_path / how).write_text(" ".join(map(str, pids)))
        return die(how)

    pool = open_pool(build_map(start_some))
    pool.submit(0, call(1, ["exit"]))
    pool.submit(1, call(2, ["stay"]))
    wait(pool, 2)
    group, session = map(int, (tmp_path / "exit").read_text().split())
    stay = list(map(int, (tmp_path / "stay").read_text().split()))
    assert wait_gone([group])
    assert psutil.pid_exists(session)
    pool.close()
    assert wait_gone([session, *stay])


def test_forked_copy_hides_no_death(open_pool):
    """Death shows although a copy of the worker holds its socket."""

    def fork_and_die(_):
        if os.fork() == 0:
            os.setsid()
            time.sleep(100)
        os._exit(4)

    pool = open_pool(build_map(fork_and_die), workers=1)
    pool.submit(0, call(1, [0]))
    (lost,) = wait(pool)
    assert (lost.error.reason, lost.task) == ("exit code 4", 1)


def test_closed_socket_is_replaced(open_pool):
    """A worker that closes its socket is replaced."""

    def close_all(x):
        if x:
            os.closerange(3, 100)
            time.sleep(100)
        return x

    pool = open_pool(build_map(close_all), workers=1)
    pool.submit(0, call(1, [0, 1]))
    (lost,) = wait(pool)
    assert "closed its connection" in lost.error.reason
    assert (lost.task, lost.position) == (1, 1)
    pool.submit(0, call(2, [0]))
    assert values_of(wait(pool)[0]) == [0]


def test_stopped_worker_blocks_nobody(open_pool):
    def pid_of(_):
        return os.getpid()

    pool = open_pool(build_map(pid_of))
    pool.submit(0, call(1, [0]))
    (pid,) = values_of(wait(pool)[0])
    os.kill(pid, signal.SIGSTOP)
    big = [bytes(4_000_000)]
    pool.submit(0, call(2, big))
    pool.submit(0, call(3, big))
    for number in range(4, 24):
        pool.submit(1, call(number, [0]))
        assert wait(pool)[0].task == number
    os.kill(pid, signal.SIGCONT)
    assert [outcome.task for outcome in wait(pool, 2)] == [2, 3]
    os.kill(pid, signal.SIGSTOP)
    pool.submit(0, call(24, big))
    pool.kill()
    assert not psutil.pid_exists(pid)


def test_large_frames_both_ways(open_pool):
    """Large frames both ways do not deadlock."""
    pool = open_pool(build_map(double))
    for number in range(12):
        pool.submit(number % 2, call(number, [bytes([number]) * 3_000_000, bytearray(b"x") * 100_000]))
        if number % 4 == 3:
            for outcome in wait(pool, 4):
                first, second = values_of(outcome)
                assert first == bytes([outcome.task]) * 6_000_000
                assert second == b"x" * 200_000


def test_cycles_leave_nothing(open_pool):
    program = build_map(plus_one)
    for number in range(12):
        pool = open_pool(program, workers=1 + number % 3)
        pool.submit(0, call(1, [number]))
        if number % 2:
            assert values_of(wait(pool)[0]) == [number + 1]
        (pool.close, pool.kill)[number % 3 == 0]()
        pool.kill()


def test_close_waits_kill_does_not(open_pool, tmp_path):
    """Close lets a worker finish, and kill does not."""

    def finish(name):
        (tmp_path / f"{name}.begun").touch()
        time.sleep(0.5)
        (tmp_path / name).touch()

    for end in ("close", "kill"):
        pool = open_pool(build_map(finish), workers=1)
        pool.submit(0, call(1, [end]))
        while not (tmp_path / f"{end}.begun").exists():
            time.sleep(0.01)
        getattr(pool, end)()
        assert (tmp_path / end).exists() == (end == "close")


def test_copy_of_parent_is_harmless(open_pool, tmp_path):
    """Close ends workers in peace though a copy of the parent holds their sockets."""

    def register(name):
        atexit.register((tmp_path / name).touch)

    pool = open_pool(build_map(register))
    pool.submit(0, call(1, ["left"]))
    wait(pool)
    copy = os.fork()
    if copy == 0:
        time.sleep(100)
        os._exit(0)
    try:
        pool.close()
    finally:
        os.kill(copy, signal.SIGKILL)
        os.waitpid(copy, 0)
    assert (tmp_path / "left").exists()


def test_no_ctrl_c_and_no_input(open_pool):
    """Workers do not hear Ctrl-C and have no input."""

    def look(_):
        os.kill(os.getpid(), signal.SIGINT)
        return sys.stdin.read(), os.getpgid(0) == os.getpid()

    pool = open_pool(build_map(look))
    pool.submit(0, call(1, [0]))
    assert values_of(wait(pool)[0]) == [("", True)]


def test_child_is_a_world_of_one(open_pool, monkeypatch):
    """A child is a world of one for MPI."""

    def size(_):
        from mpi4py import MPI

        return MPI.COMM_WORLD.Get_size(), sorted(name for name in os.environ if name.startswith(("PMI", "OMPI")))

    for name, value in {"PMI_RANK": "1", "PMI_SIZE": "4", "PMI_FD": "77", "OMPI_COMM_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    pool = open_pool(build_map(size), workers=1)
    pool.submit(0, call(1, [0]))
    assert values_of(wait(pool)[0]) == [(1, [])]


class Grenade:
    """Goes off where it is unpickled."""

    def __init__(self, how):
        self.how = how

    def __reduce__(self):
        return die if self.how == "exit" else explode, (self.how,)


def explode(how):
    raise LookupError(f"no such thing as {how} here")


def test_unloadable_has_traceback(open_pool):
    """A program that cannot be loaded is an error with the remote traceback."""
    grenade = Grenade("powder")
    pool = open_pool(build_map(lambda x: (x, grenade)))
    with pytest.raises(ShippingError, match="no such thing as powder here") as caught:
        wait(pool)
    assert "Traceback" in str(caught.value)
    assert "processes[" in str(caught.value)


def test_program_that_kills_all(open_pool):
    """A program that kills every worker is an error."""
    grenade = Grenade("exit")
    pool = open_pool(build_map(lambda x: (x, grenade)))
    with pytest.raises(PoolError, match=r"3 children in a row .* exit code 3"):
        wait(pool, 100)


def test_unpicklable_input_fails_alone(open_pool):
    """Input that cannot be unpickled there costs only its items."""
    pool = open_pool(build_map(die), workers=1)
    pool.submit(0, call(1, [Grenade("powder")]))
    (outcome,) = wait(pool)
    assert [type(failure.error) for failure in outcome.failures]
    assert "no such thing as powder here" in str(outcome.failures[0].error)
    pool.submit(0, call(2, ["a"]))
    assert values_of(wait(pool)[0]) == ["a"]


def test_dead_fork_server(open_pool, find_children):
    """A fork server that dies is an error and leaves nothing."""

    def start_one(_):
        return subprocess.Popen(["sleep", "100"]).pid

    pool = open_pool(build_map(start_one))
    pool.submit(0, call(1, [1]))
    pool.submit(1, call(2, [1]))
    sleepers = [pid for outcome in wait(pool, 2) for pid in values_of(outcome)]
    (server,) = find_children()
    family = [child.pid for child in server.children()]
    assert len(family) == 2
    server.kill()
    with pytest.raises(PoolError, match="fork server"):
        wait(pool, 100)
    pool.kill()
    assert wait_gone([*family, *sleepers])


def test_wrong_options_refused():
    with pytest.raises(OptionError, match="workers must be an integer"):
        ProcessesPool("p", workers=0)
    with pytest.raises(OptionError, match="places"):
        BACKEND.make("p", places="many")
    assert len(ProcessesPool("p").workers) == count_cpus()


def run_script(tmp_path, source, **options):
    """Start a script that has the repository's package on its path."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(source))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen([sys.executable, str(script)], env=environment, **options)


def test_no_main_guard_needed(tmp_path):
    """A script without a main guard works."""
    script = run_script(
        tmp_path,
        """
        import os, select
        from papympi.plan.program import *
        from papympi.pools.processes import ProcessesPool
        from papympi.transport.payload import Payload
        from papympi.transport.task import Kind, Task

        print("imported", os.getpid())

        class Point:
            def __init__(self, x):
                self.x = x

        def move(point):
            assert isinstance(point, Point)
            return Point(point.x + 1)

        pool = ProcessesPool("here", 2)
        pool.open(Program({0: Stage("map", 1, (Call("move", move, (Argument(0),)),), (1,))}))
        pool.submit(0, Task(1, Kind.CALL, 0, 1, columns=[[(Payload([Point(1)]), 0, 1)]], keys=[((), 0, 1)]))
        select.select([pool.fileno()], [], [])
        while not (news := pool.collect()):
            pass
        (point,) = news[0].outputs[0].payloads[0].values()
        assert type(point) is Point
        print(point.x)
        pool.close()
        """,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said, _ = script.communicate(timeout=30)
    assert script.returncode == 0, said
    assert said.split() == ["imported", str(script.pid), "2"]


VICTIM = """
    import ctypes, os, subprocess, sys, time
    from papympi.plan.program import *
    from papympi.pools.processes import ProcessesPool
    from papympi.transport.payload import Payload
    from papympi.transport.task import Kind, Task

    def work(how):
        if how == "sleep":
            time.sleep(100)
        elif how == "hold":  # the GIL
            ctypes.PyDLL(None).sleep(100)
        elif how == "start":
            subprocess.run(["sleep", "100"], start_new_session=True)
        elif how == "stop":
            os.kill(os.getpid(), 19)
        elif how == "fork":
            os.fork()
            time.sleep(100)

    pool = ProcessesPool("here", 5)
    pool.open(Program({0: Stage("map", 1, (Call("work", work, (Argument(0),)),), (1,))}))
    for number, how in enumerate(["sleep", "hold", "start", "stop", "fork"]):
        pool.submit(number, Task(number, Kind.CALL, 0, 1, columns=[[(Payload([how]), 0, 1)]], keys=[((), 0, 1)]))
    if os.fork() == 0:  # a copy of the parent that holds all its sockets
        time.sleep(100)
    print("open", flush=True)
    time.sleep(100)
"""


def find_marked(marker):
    """The processes that have the marker in their environment: the pool's, and copies of the parent."""
    found = [], []
    for process in psutil.process_iter():
        try:
            if process.environ().get("PAPYMPI_MARK") == marker and process.status() != psutil.STATUS_ZOMBIE:
                found["script.py" in " ".join(process.cmdline())].append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize(
    ("opened", "delay"),
    [(False, delay) for delay in (0.0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4)] + [(True, delay) for delay in (0.0, 0.02, 0.5)],
)
def test_killed_parent_leaves_nothing(tmp_path, monkeypatch, opened, delay):
    """A parent killed at any moment leaves nothing."""
    marker = f"{os.getpid()}-{opened}-{delay}"
    monkeypatch.setenv("PAPYMPI_MARK", marker)
    with run_script(tmp_path, VICTIM, stdout=subprocess.PIPE, text=True) as parent:
        if opened:
            assert parent.stdout.readline() == "open\n"
        time.sleep(delay)
        if opened:
            assert len(find_marked(marker)[0]) >= 6
        parent.kill()
        try:
            deadline = time.monotonic() + 5
            while (left := find_marked(marker)[0]) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert not left
        finally:
            for processes in find_marked(marker):
                for process in processes:
                    process.kill()
