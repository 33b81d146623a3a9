"""Faults inside papympi's own parts, pools, plugins, sources and outputs: a clear error, no hang, nothing left."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from papympi import Graph, PoolError, StateError, run
from papympi.pools.inline import InlinePool
from papympi.pools.processes import ProcessesPool
from papympi.pools.threads import ThreadsPool


def start(pool, inputs=range(100), function=abs, **options):
    graph = Graph("one")
    graph.add(function, name="node", inputs={"v": "x"}, pool="pool", stride=3)
    return run({"x": inputs}, graph=graph, pools={"pool": pool}, **options)


class Breaks:
    """A mixin of a pool that raises at the n-th call of a method, before or after it has done its work."""

    def open(self, program):
        self._call("open", program)

    def submit(self, worker, task):
        self._call("submit", worker, task)

    def collect(self):
        return self._call("collect")

    def close(self):
        self._call("close")

    def kill(self):
        self._call("kill")

    def _call(self, name, *args):
        broken = name == self.method and next(self.calls) == self.at
        if broken and not self.after:
            raise OSError("the plug is out")
        found = getattr(super(), name)(*args)
        if broken:
            raise OSError("the plug is out")
        return found


def breaking(kind, method, *, after, at=1):
    """Return a pool of some kind that breaks."""
    made = type("Breaking", (Breaks, kind), {"method": method, "after": after, "at": at, "calls": itertools.count(1)})
    return made("pool") if kind is InlinePool else made("pool", workers=2)


KINDS = pytest.mark.parametrize("kind", [ThreadsPool, ProcessesPool])


@KINDS
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("method", ["open", "submit", "collect"])
def test_raising_pool_is_named(kind, method, after, nothing_left):
    running = start(breaking(kind, method, after=after))
    with pytest.raises(PoolError, match=f"pool 'pool': {method} raised OSError: the plug is out; .*Breaking") as caught:
        list(running)
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(StateError):
        next(running)
    nothing_left()


@KINDS
@pytest.mark.parametrize("method", ["submit", "collect"])
def test_late_error_keeps_results(kind, method, nothing_left):
    """A pool that raises later has its results before."""
    found = []
    with pytest.raises(PoolError, match=f"{method} raised OSError"):
        found.extend(start(breaking(kind, method, after=False, at=9), itertools.count(), admission=6))
    assert found == list(range(len(found)))


@KINDS
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("method", ["close", "kill"])
def test_unendable_pool_is_named(kind, method, after, nothing_left):
    """A pool that cannot be ended is named, and nothing of it is left."""
    running = start(breaking(kind, method, after=after or method == "kill"))
    found = []
    if method == "kill":
        found.append(next(running))
    with pytest.raises(PoolError, match=f"{method} raised OSError: the plug is out"):
        found.extend(running) if method == "close" else running.cancel()
    assert found == list(range(100 if method == "close" else 1))
    nothing_left()


def test_one_pool_ends_the_others(nothing_left):
    """An error of one pool ends the others."""
    graph = Graph("two")
    graph.add(abs, name="near", inputs={"v": "x"}, pool="near")
    graph.add(abs, name="far", inputs={"v": "near"}, pool="far")
    pools = {"near": ProcessesPool("near", workers=1), "far": breaking(InlinePool, "open", after=True)}
    with pytest.raises(PoolError, match="pool 'far': open raised"):
        list(run({"x": range(9)}, graph=graph, pools=pools))


class Forgetful(Executor):
    """An executor that works until it gets a certain task, whose future it never completes."""

    def __init__(self):
        self.real = ThreadPoolExecutor(1)
        self.lost = []

    def submit(self, function, /, *args, **options):
        if len(self.lost) or "lose" in repr(args):
            future = Future()
            self.lost.append(future)
            return future
        return self.real.submit(function, *args, **options)

    def when_lost(self, act):
        """Start a thread that acts once a future is there that nobody completes."""

        def watch():
            while len(self.lost) < 2:
                time.sleep(0.01)
            act()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        return thread

    def shutdown(self, wait=True, *, cancel_futures=False):
        self.real.shutdown(wait=wait)


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_endless_future_is_cancelled(end, nothing_left):
    """A future that never completes can be cancelled."""
    executor = Forgetful()
    executor.lost.append(None)
    running = start(executor)
    ending = executor.when_lost(lambda: (running.stop(), getattr(running, end)()))
    with pytest.raises(StateError):
        next(running)
    ending.join()
    assert all(future.cancelled() for future in executor.lost[1:])
    assert len(executor.lost) > 1
    executor.shutdown()


def test_cancelled_future_ends_run(nothing_left):
    """A future that somebody else cancels ends the run."""
    executor = Forgetful()
    executor.lost.append(None)
    running = start(executor)
    ending = executor.when_lost(lambda: [future.cancel() for future in executor.lost[1:]])
    with pytest.raises(PoolError, match="pool 'pool'.*cancelled"):
        next(running)
    ending.join()
    executor.shutdown()


def raising(error):
    yield from range(5)
    raise error


@pytest.mark.parametrize("error", [OSError("gone"), SystemExit(3), GeneratorExit()])
def test_raising_source_fails(pool, error, nothing_left):
    """Whatever a source raises is its failure, but Ctrl-C, which is the caller's."""
    *found, failure = start(pool, raising(error), errors="keep")
    assert found == list(range(5))
    assert (failure.node, type(failure.error)) == ("x", type(error))


def test_silent_source_is_cancelled(nothing_left):
    """A source that never answers does not keep a run from being cancelled."""
    silence = threading.Event()

    def source():
        silence.wait()
        yield 1

    running = start("threads:2", source())
    timer = threading.Timer(0.2, running.cancel)
    timer.start()
    with pytest.raises(StateError, match="was cancelled"):
        next(running)
    timer.join()
    silence.set()


PIPELINE = """\
import time
from papympi import node

@node
def double(number):
    time.sleep(0.01)
    return 2 * number
"""
HOOKS = {
    "papympi_backends": "",
    "papympi_node_options": "",
    "papympi_compile": "node",
    "papympi_rewrite": "plan",
    "papympi_readers": "",
    "papympi_writers": "",
    "papympi_run_started": "plan",
    "papympi_event": "statistics",
    "papympi_run_finished": "statistics",
    "papympi_commands": "",
}


def install(folder, source):
    """Install a plugin of the name "probe" and a pipeline beside it."""
    (folder / "probe_plugin.py").write_text("import time\nfrom papympi.hookspecs import hookimpl\n" + source)
    info = folder / "papympi_probe-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: papympi-probe\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[papympi]\nprobe = probe_plugin\n")
    (folder / "pipeline.py").write_text(PIPELINE)


def papympi(folder, *arguments):
    """Run the command line where the plugin is installed."""
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "papympi", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


@pytest.mark.parametrize("hook", HOOKS)
def test_raising_hook_is_named(project, hook, nothing_left):
    """A hook that raises is named with its plugin."""
    install(project, f"@hookimpl\ndef {hook}({HOOKS[hook]}):\n    raise OSError('unplugged')\n")
    if hook == "papympi_node_options":  # asked for when there is one that papympi does not know
        (project / "pipeline.py").write_text(PIPELINE.replace("@node", "@node(gpus=1)"))
    (project / "numbers.json").write_text("[1, 2]")
    given = "number=@numbers.json" if hook == "papympi_readers" else "number=0..60"
    words = ["run", "pipeline.py", "--input", given, "--output", "out.csv"]
    done = papympi(project, *(["nonsense"] if hook == "papympi_commands" else words))
    assert done.returncode == 2, done.stderr
    assert f"plugin 'probe': {hook} raised OSError: unplugged" in done.stderr
    assert "Traceback" not in done.stderr


def test_slow_watcher_holds_nothing(project, nothing_left):
    """A watcher that takes its time holds up nothing."""
    install(project, "@hookimpl\ndef papympi_event(statistics):\n    time.sleep(1.5)\n")
    done = papympi(project, "run", "pipeline.py", "--input", "number=0..60", "--pool", "*=threads:2")
    assert done.stdout.split() == [str(2 * number) for number in range(60)]
    assert done.returncode == 0, done.stderr


def test_endless_watcher_is_left(project, nothing_left):
    """A watcher that never returns is left, and the summary says so."""
    install(project, "@hookimpl\ndef papympi_event(statistics):\n    time.sleep(3600)\n")
    done = papympi(project, "run", "pipeline.py", "--input", "number=0..60", "--pool", "*=threads:2")
    assert done.returncode == 0, done.stderr
    assert "note: plugin probe: papympi_event did not return within 5 s, and was left" in done.stderr


FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


@FULL
@pytest.mark.parametrize(("suffix", "rows"), [("jsonl", 3), ("csv", 5000), ("pkl", 5000)])
def test_full_disk_names_file(project, suffix, rows, nothing_left):
    """A full disk is told with the name of the file."""
    install(project, "")
    (project / "pipeline.py").write_text(PIPELINE.replace("    time.sleep(0.01)\n", ""))
    (project / f"out.{suffix}").symlink_to("/dev/full")
    done = papympi(project, "run", "pipeline.py", "--input", f"number=0..{rows}", "--output", f"out.{suffix}")
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert re.fullmatch(f"papympi: error: cannot write '(/dev/full|out.{suffix})': No space left on device", last)
    assert "Traceback" not in done.stderr


def test_raising_writer_names_file(project, nothing_left):
    """A writer that raises is told with the name of the file."""
    install(
        project,
        """
class Writer:
    def __init__(self, file):
        self.file = file
    def write(self, result):
        if result.value > 10:
            raise ValueError("no more than ten")
        self.file.write(b"row\\n")
    def close(self):
        pass

@hookimpl
def papympi_writers():
    return {".odd": Writer}
""",
    )
    done = papympi(project, "run", "pipeline.py", "--input", "number=0..", "--output", "out.odd")
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stderr
    assert "out.odd" in done.stderr
    assert "ValueError: no more than ten" in done.stderr
    assert (project / "out.odd").read_text() == "row\n" * 6


def test_endless_turn_is_cancelled(nothing_left):
    """A turn of the runner that does not end does not keep cancel."""
    begun, release = threading.Event(), threading.Event()

    def block(v):
        begun.set()
        release.wait(30)
        return v

    running = start(InlinePool("pool"), range(3), block)

    def read():
        with pytest.raises(StateError, match="was cancelled"):
            next(running)

    reader = threading.Thread(target=read)
    reader.start()
    begun.wait(30)
    running.cancel()
    assert not release.is_set()
    release.set()
    reader.join()
