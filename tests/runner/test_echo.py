"""What node functions print and log reaches the runner from every pool, with where it is from, and never floods it."""

import contextlib
import ctypes
import faulthandler
import logging
import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from papympi import Graph, run
from papympi.errors import ItemTimeout, WorkerLost
from papympi.testing.driver import POOLS, of_two

LINE = re.compile(r"^\[(\w+) (\([\d, ]+\)) (.+)\] (.*)$", re.MULTILINE)


SELDOM = re.compile(r"^\[\w+ ?(\([\d, ]+\))? .+\] seldom (\d+)$", re.MULTILINE)


def go(function, items, pool, *, errors="raise", fold=None, **options):
    """Run a graph of one node; return the results."""
    graph = Graph("logs")
    graph.node(pool="given", **options)(function)
    given = of_two(pool)
    return list(run({"x": items}, graph=graph, pools={"given": given}, errors=errors, by_value=("__main__", __name__)))


def lines_of(text):
    """Return (node, key, text) of each line that has a prefix."""
    return [(node, key, rest) for node, key, _, rest in LINE.findall(text)]


def talk(x):
    print("first", x)
    print("sec", end="")
    print("ond", x)
    sys.stderr.write(f"third {x}\nno end {x}")
    return x


def test_prints_have_node_and_key(pool, capsys, nothing_left):
    """Prints arrive with node and key, in order."""
    assert go(talk, range(40), pool, stride=3) == list(range(40))
    out, err = capsys.readouterr()
    assert out == ""
    if pool == "inline":  # at once, and as it is: a debugger may be at work
        assert err.splitlines()[:3] == ["first 0", "second 0", "third 0"]
        assert len(err.splitlines()) == 4 * 40
        return
    found = lines_of(err)
    assert len(found) == 4 * 40
    for x in range(40):
        own = [text for node, key, text in found if (node, key) == ("talk", f"({x},)")]
        assert own == [f"first {x}", f"second {x}", f"third {x}", f"no end {x}"]


def log(x):
    logging.getLogger("lab.fit").warning("item %d", x)
    logging.getLogger("lab.fit").debug("never %d", x)
    logging.getLogger("lab").info("100%")
    try:
        1 / 0  # noqa: B018 - it raises
    except ZeroDivisionError:
        logging.getLogger("lab").exception("oh")
    return x


def test_logs_reach_the_loggers(pool, caplog):
    """Log messages arrive at the loggers of the runner."""
    caplog.set_level(logging.INFO)
    go(log, range(6), pool, stride=2)
    found = {x: [r for r in caplog.records if r.papympi_key == (x,)] for x in range(6)}
    assert sum(map(len, found.values())) == len(caplog.records) == 18
    for x, (warning, info, error) in found.items():
        assert (warning.name, warning.levelname, warning.papympi_node) == ("lab.fit", "WARNING", "log")
        assert warning.getMessage() == f"[log ({x},) {warning.papympi_worker}] item {x}"
        assert info.getMessage().endswith("] 100%")
        assert "ZeroDivisionError" in caplog.handler.format(error)
        assert "given" in error.papympi_worker


def configure(x):
    logging.basicConfig(level=logging.INFO, format="own %(message)s", force=True)
    logging.getLogger("lab").info("once %d", x)
    logger = logging.getLogger("apart")
    logger.propagate, logger.handlers = False, [logging.StreamHandler()]
    logger.warning("alone %d", x)
    return x


@pytest.mark.parametrize("pool", ["processes", "mpi"])
def test_logging_is_not_doubled(pool, caplog, capfd):
    """Logging that user code configures is not doubled."""
    caplog.set_level(logging.INFO)
    go(configure, range(3), pool)
    assert sorted(record.getMessage().rsplit("] ")[-1] for record in caplog.records) == sorted(
        [f"{word} {x}" for x in range(3) for word in ("once", "alone")]
    )
    assert capfd.readouterr() == ("", "")


def flood(x):
    for number in range(100_000 if x else 1):
        print(number)
    logging.getLogger("lab").error("seen all the same")
    print("y" * 50_000_000)
    return x


@pytest.mark.parametrize("pool", [pool for pool in POOLS if pool != "inline"])
def test_flood_is_bounded(pool, capsys, caplog):
    """A flood is bounded and says what it left out."""
    go(flood, [0, 1], pool, stride=2)
    err = capsys.readouterr().err
    assert len(err) < 300_000
    assert lines_of(err)[0] == ("flood", "(0,)", "0")
    assert len([1 for record in caplog.records if "seen all the same" in record.getMessage()]) == 2
    told = [int(number.replace(" ", "")) for number in re.findall(r"… ([\d ]+) lines? of node 'flood' dropped", err)]
    shown = len(lines_of(err))
    assert sum(told) + shown == 100_001 + 2
    assert "49,990,000 more characters" in err


def crash(x):
    print("before", x)
    print("unfinished", end="")
    if x == 2:
        os._exit(3)
    return x


def test_last_words_before_a_crash(capsys):
    """What was printed before a crash arrives."""
    *_, failure, last = go(crash, range(4), "processes", errors="keep", stride=4)
    assert isinstance(failure.error, WorkerLost)
    assert last == 3
    found = lines_of(capsys.readouterr().err)
    assert ("crash", "(2,)", "before 2") in found


def chatter(x):
    while x == 3:
        print("again and again")
    return x


def test_time_out_amid_prints(capsys):
    """A time-out amid prints costs its item only."""
    found = go(chatter, range(8), "processes", errors="keep", stride=4, timeout=0.3)
    assert [value for value in found if value is not found[3]] == [0, 1, 2, 4, 5, 6, 7]
    assert isinstance(found[3].error, ItemTimeout)
    assert lines_of(capsys.readouterr().err)[0] == ("chatter", "(3,)", "again and again")


def wait_for_file(x):
    print("begun")
    end = time.monotonic() + 30
    while not x.exists() and time.monotonic() < end:
        time.sleep(0.01)
    return x.exists()


@pytest.mark.parametrize("pool", ["inline", "threads", "processes"])
def test_prints_come_at_once(pool, tmp_path, monkeypatch):
    """Prints are seen while their item goes on."""

    class Watch:
        """Lets the item go on once its line is here."""

        def write(self, text):
            if "begun" in text:
                (tmp_path / "seen").touch()

        def flush(self):
            pass

    monkeypatch.setattr(sys, "stderr", Watch())
    assert go(wait_for_file, [tmp_path / "seen"], pool) == [True]


def speak_below(x):
    os.write(1, f"descriptor {x}\n".encode())
    sys.stdout.buffer.write(b"buffer %d\n" % x)
    print("dunder", x, file=sys.__stdout__)
    ctypes.CDLL(None).printf(b"printf %d\n", x)
    subprocess.run([sys.executable, "-c", f"print('program {x}')"], check=True)
    return x


@pytest.mark.parametrize("pool", ["processes", "mpi"])
def test_c_code_and_programs(pool, capfd):
    """What C code and programs write comes as lines of node and item, and on standard error."""
    go(speak_below, range(5), pool)
    out, err = capfd.readouterr()
    assert out == ""
    found = lines_of(err)
    for x in range(5):
        own = [text for node, key, text in found if (node, key) == ("speak_below", f"({x},)")]
        assert own == [f"{word} {x}" for word in ("descriptor", "buffer", "dunder", "printf", "program")]


def speak_quickly(x):
    os.write(2, b"quick %d\n" % x)
    return x


@pytest.mark.parametrize("pool", ["processes", "mpi"])
def test_quick_items_have_their_own(pool, capfd):
    """However many quick items a batch has, each has its own lines."""
    go(speak_quickly, range(300), pool, stride=50)
    found = [(key, text) for _, key, text in lines_of(capfd.readouterr().err)]
    assert sorted(found) == sorted((f"({x},)", f"quick {x}") for x in range(300))


def speak_seldom(x):
    if x % 997 == 0:
        os.write(1, f"seldom {x}\n".encode())
    return x


@pytest.mark.parametrize("pool", ["processes", "mpi"])
def test_never_another_items_line(pool, capfd):
    """After many items that are silent and quick a line may come without its item, never with another one's."""
    go(speak_seldom, range(30_000), pool, stride=100)
    said = capfd.readouterr().err
    found = {text: key for key, text in SELDOM.findall(said)}
    assert found.keys() == {f"{x}" for x in range(0, 30_000, 997)}, said
    assert all(key in {"", f"({text},)"} for text, key in found.items())


def gush(x):
    subprocess.run(["sh", "-c", "yes | head -c 3000000; printf half"], check=True)
    return x


@pytest.mark.parametrize("pool", ["processes", "mpi"])
def test_programs_cannot_flood(pool, capfd):
    """A program that writes without end blocks nobody, and what is left out is counted."""
    assert go(gush, [1], pool) == [1]
    err = capfd.readouterr().err
    assert err.count("] y\n") < 2000
    assert "lines of node 'gush' dropped" in err


def abort(x):
    faulthandler.enable()
    os.write(2, b"last words\n")
    os.abort()


@pytest.mark.parametrize("pool", ["processes", "mpi"])
def test_crash_is_heard(pool, capfd):
    """What a process writes when it crashes is seen."""
    (failure,) = go(abort, [1], pool, errors="keep")
    assert isinstance(failure.error, WorkerLost)
    err = capfd.readouterr().err
    assert "] last words\n" in err
    assert "] Fatal Python error: Aborted\n" in err


def fork(x):
    pid = os.fork()
    if not pid:
        print("from a fork", x, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    return x


def test_fork_speaks_for_itself(capfd):
    """A forked process speaks for itself."""
    assert go(fork, [1, 2], "processes") == [1, 2]
    assert capfd.readouterr().err.count("from a fork") == 2


def scatter(x):
    print("scatter", x)
    for child in range(3):
        print("child", child)
        yield child


def heal(failure):
    print("healing", failure.key)
    return -1


def fail(x):
    raise ValueError(x)


def test_scatters_and_healing(capsys):
    """Scatters and healing speak for their item."""
    go(scatter, [7, 8], "processes")
    assert [(key, text) for _, key, text in sorted(lines_of(capsys.readouterr().err), key=lambda line: line[1])] == [
        (f"({n},)", text) for n in (0, 1) for text in (f"scatter {n + 7}", "child 0", "child 1", "child 2")
    ]
    assert go(fail, [1, 2], "threads", on_error=heal) == [-1, -1]
    assert sorted(lines_of(capsys.readouterr().err)) == [
        ("fail", "(0,)", "healing (0,)"),
        ("fail", "(1,)", "healing (1,)"),
    ]


def test_progress_bar_is_one_line(capsys):
    """A bar that is drawn over itself is one line."""

    def bar(x):
        for percent in range(0, 101, 5):
            sys.stderr.write(f"\r{percent} %")
            sys.stderr.flush()
        return x

    go(bar, [1], "processes")
    assert [text for *_, text in lines_of(capsys.readouterr().err)] == ["100 %"]


@pytest.mark.parametrize("pool", ["inline", "threads"])
def test_streams_are_given_back(pool):
    """The streams are the user's again afterwards."""
    program = f"""
        import logging, sys
        import papympi

        def talk(x):
            print("first", x)
            logging.warning("second")
            return sys.stdout

        before = sys.stdout, sys.stderr, logging.getLogRecordFactory()
        seen, = papympi.map(talk, [1], pool="{pool}")
        assert seen is not before[0], "nobody listened"
        assert (sys.stdout, sys.stderr, logging.getLogRecordFactory()) == before
    """
    argv = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "first 1" in done.stderr


def test_outside_prints_as_always(capsys):
    """Code outside nodes prints as always."""
    graph = Graph("logs")
    graph.node(pool="threads")(talk)
    for value in run({"x": range(3)}, graph=graph):
        print("got", value)
    assert capsys.readouterr().out == "got 0\ngot 1\ngot 2\n"


PIPELINE = """
import os
from papympi import node

@node(pool="mpi", stride=4)
def square(number):
    print("at", number)
    return number ** 2
"""


def test_ranks_say_which_they_are(mpi, project):
    """Ranks under mpiexec say which they are."""
    (project / "squares.py").write_text(PIPELINE)
    argv = ("python", "-m", "papympi", "run", "squares.py", "--input", "number=[0,1,2,3,4,5,6,7]", "--no-progress")
    done = mpi.run(3, *argv, cwd=project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(n * n) for n in range(8)]
    found = LINE.findall(done.stderr)
    assert [(node, key, text) for node, key, _, text in sorted(found)] == [
        ("square", f"({n},)", f"at {n}") for n in range(8)
    ]
    assert {re.search(r"rank (\d) ", worker)[1] for _, _, worker, _ in found} <= {"1", "2"}


def test_breakpoints_work_inline(project):
    """Breakpoints and input work inline."""
    (project / "bug.py").write_text(
        "from papympi import node\n\n@node(pool='inline')\n"
        "def f(x):\n    breakpoint()\n    return int(input('add? ')) + x\n"
    )
    argv = [sys.executable, "-m", "papympi", "run", "bug.py", "--input", "x=[5]", "--no-progress"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [Path.cwd(), *filter(None, sys.path)]))}
    done = subprocess.run(
        argv, input="p x * 100\nc\n3\n", capture_output=True, text=True, timeout=50, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "8"
    assert "500" in done.stderr + done.stdout


def test_display_gets_the_lines(capsys):
    from papympi.workers.evaluation.recorder import shown_by

    shown = []
    with shown_by(shown.append), contextlib.suppress(IndexError):
        go(talk, [1], "processes")
    assert "first 1" in "\n".join(shown)
    assert capsys.readouterr().err == ""


LET_GO = """
    import contextlib, gc, io, sys, weakref
    import papympi

    class Ends:
        def __init__(self, running):
            self.running = running

        def __str__(self):
            self.running.close()
            gc.collect()
            kept.append([str(number) * 9 for number in range(10_000)])
            return "a"

    class Bare:
        __slots__ = ()
        write = flush = lambda self, *text: None

    kept, seen = [], []
    for turn in range(20):
        for stream in (sys.stdout, io.StringIO(), Bare()):
            with contextlib.redirect_stdout(stream):
                running = papympi.map(abs, range(100), pool="POOL")
                next(running)
                seen.append((turn, stream, weakref.ref(sys.stdout)))
                print(Ends(running), "b", "c", flush=True)
                assert sys.stdout is stream
    assert len({id(stand_in()) for _, stream, stand_in in seen if stream is sys.stdout}) == 1
    assert all(stand_in() is not None and stand_in() is not stream for _, stream, stand_in in seen)
"""


@pytest.mark.parametrize("pool", ["inline", "threads:1"])
def test_print_outlasts_a_run(pool):
    """`print` only borrows `sys.stdout`: what stood in for it was let go of when the last run ended."""
    argv = [sys.executable, "-c", textwrap.dedent(LET_GO).replace("POOL", pool)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "a b c\n" * 20
