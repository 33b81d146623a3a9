"""Workers are children of their caller as those of `multiprocessing` are, and end as interpreters do."""

import subprocess
import sys
import textwrap

import pytest

POOLS = ["processes:2", "mpi:2"]


@pytest.fixture
def script(project, nothing_left):
    """Return what runs a program on a pool in a process of its own, and returns what it prints."""

    def run(pool, text, *, stderr=""):
        (project / "script.py").write_text("import os, sys\nimport papympi\n" + textwrap.dedent(text))
        argv = [sys.executable, "script.py", pool]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=80, check=False)
        (project / "stderr").write_text(done.stderr)
        assert done.returncode == 0, done.stderr
        if stderr is not None:
            assert done.stderr == stderr
        return done.stdout

    return run


@pytest.mark.timeout(100)
@pytest.mark.parametrize("pool", POOLS)
def test_managers_of_the_caller(script, pool):
    """Proxies of the caller's manager work as globals and as items."""
    found = script(
        pool,
        """
        import multiprocessing

        def note(number):
            seen[number] = True
            return number

        def put(shared):
            shared["key"] = 1
            return True

        if __name__ == "__main__":
            manager = multiprocessing.Manager()
            seen, shared = manager.dict(), manager.dict()
            print(list(papympi.map(note, range(3), pool=sys.argv[1])), len(seen))
            print(list(papympi.map(put, [shared], pool=sys.argv[1])), dict(shared))
        """,
    )
    assert found == "[0, 1, 2] 3\n[True] {'key': 1}\n"


@pytest.mark.timeout(100)
@pytest.mark.parametrize("pool", POOLS)
def test_shared_memory_outlives_worker(script, pool):
    """Shared memory that a worker makes lasts, and what it only opens is not taken away at its end."""
    found = script(
        pool,
        """
        def make(number):
            from multiprocessing.shared_memory import SharedMemory

            block = SharedMemory(create=True, size=8)
            block.buf[0] = number
            block.close()
            return block.name

        def look(name):
            from multiprocessing.shared_memory import SharedMemory

            block = SharedMemory(name)
            value = block.buf[0]
            block.close()
            return value

        if __name__ == "__main__":
            names = list(papympi.map(make, [1, 2, 3], pool=sys.argv[1]))
            print([look(name) for name in names])
            print(list(papympi.map(look, names, pool=sys.argv[1])))
            from multiprocessing.shared_memory import SharedMemory
            for name in names:
                block = SharedMemory(name)
                block.close()
                block.unlink()
        """,
    )
    assert found == "[1, 2, 3]\n[1, 2, 3]\n"


@pytest.mark.timeout(150)
@pytest.mark.parametrize("pool", POOLS)
def test_processes_in_a_node(script, pool):
    """A node may have processes of its own, by every start method, and runs of papympi."""
    found = script(
        pool,
        """
        import math
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        def use(how):
            if how == "papympi":
                return list(papympi.map(math.sqrt, [4, 9], pool="processes:1"))
            context = multiprocessing.get_context(how)
            with context.Pool(2) as pool:
                first = pool.map(math.sqrt, [4, 9])
            with ProcessPoolExecutor(2, mp_context=context) as executor:
                return first + list(executor.map(math.sqrt, [16]))

        if __name__ == "__main__":
            for how in ("fork", "forkserver", "spawn", "papympi"):
                print(*papympi.map(use, [how], pool=sys.argv[1]))
        """,
        stderr=None,
    )
    assert found == "[2.0, 3.0, 4.0]\n" * 3 + "[2.0, 3.0]\n"


@pytest.mark.parametrize("pool", POOLS)
def test_worker_knows_its_parent(script, pool):
    found = script(
        pool,
        """
        def who(number):
            import multiprocessing

            parent = multiprocessing.parent_process()
            return multiprocessing.current_process().name.split()[0], parent.is_alive(), parent.pid == os.getpid()

        if __name__ == "__main__":
            print(*papympi.map(who, [1], pool=sys.argv[1]))
        """,
    )
    assert found == "('map[0]', True, False)\n"


FILES = """
import bz2, csv, gzip, logging, pathlib

class Table:
    # writes when it goes, as files of HDF5 do
    def __init__(self, path):
        self.file, self.rows = open(path, "w"), []

    def __del__(self):
        self.file.writelines(self.rows)
        self.file.close()

def make_writer():
    files = []

    def write(line):
        if not files:
            files.append(open(f"closure-{os.getpid()}", "w"))
        files[0].write(line)

    return write

kept = {}
write = make_writer()

def keep(number):
    line, own = f"{number}\\n", os.getpid()
    if not kept:
        kept["text"] = open(f"text-{own}", "w")
        kept["gz"] = gzip.open(f"gz-{own}.gz", "wt")
        kept["bz2"] = bz2.open(f"bz2-{own}.bz2", "wt")
        kept["csv"] = csv.writer(open(f"csv-{own}", "w"))
        kept["table"] = Table(f"table-{own}")
        os.papympi_test = open(f"module-{own}", "w")
        logging.getLogger("kept").addHandler(logging.FileHandler(f"log-{own}"))
        logging.getLogger("kept").propagate = False
    for name in ("text", "gz", "bz2"):
        kept[name].write(line)
    kept["csv"].writerow([number])
    kept["table"].rows.append(line)
    os.papympi_test.write(line)
    logging.getLogger("kept").warning("%d", number)
    write(line)
    return number

if __name__ == "__main__":
    list(papympi.map(keep, range(6), pool=sys.argv[1]))
    for kind in ("text", "gz", "bz2", "csv", "table", "module", "log", "closure"):
        opener = {"gz": gzip.open, "bz2": bz2.open}.get(kind, open)
        lines = [line for path in pathlib.Path().glob(f"{kind}-*") for line in opener(path, "rt").read().split()]
        print(kind, sorted(lines) == list("012345"))
"""


@pytest.mark.parametrize("pool", POOLS)
def test_files_arrive(script, pool):
    """What a worker has written to files that it holds open is there once it has ended."""
    assert script(pool, FILES, stderr=None).count("True") == 8


COPIES = """
def fork(number):
    pid = os.fork()
    if pid:
        if number != 1:
            os.waitpid(pid, 0)
        return number
    os.write(1, f"copy {number}\\n".encode())  # in one piece: copies write beside each other
    if number == 1:
        import time
        time.sleep(100)
    if number == 2:
        raise RuntimeError("in the copy")
    if number == 3:
        sys.exit(3)
    return "of the copy"

graph = papympi.Graph()

@graph.resource
def connection():
    yield 1
    print("taken down")

@graph.node(pool="work", stride=2)
def use(number, connection):
    return fork(number)

if __name__ == "__main__":
    print(list(papympi.run({"number": range(6)}, graph=graph, pools={"work": sys.argv[1]})))
"""


@pytest.mark.timeout(100)
@pytest.mark.parametrize("pool", ["processes:1", "mpi:1"])
def test_copies_are_no_workers(script, project, pool):
    """A process that a function forks sends nothing, takes nothing down, and keeps no run from its end."""
    assert script(pool, COPIES, stderr=None) == "[0, 1, 2, 3, 4, 5]\n"
    err = (project / "stderr").read_text()
    assert {line.rsplit("] ", 1)[1] for line in err.splitlines() if "copy" in line} == {f"copy {x}" for x in range(6)}
    assert err.count("taken down") == 1
