"""Async nodes: thousands wait at once in the pool `asyncio`, and mean the same on every pool."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass

import pytest

import papympi
from papympi import DROP, Failure, Graph, OptionError, PoolError, run
from papympi.errors import ItemTimeout
from papympi.pools.asyncio import BACKEND
from papympi.workers.evaluation.attempt import attempt

ANY = ["asyncio", "inline", "threads:2"]


@pytest.fixture
def graph():
    return Graph("async")


@pytest.fixture(params=ANY)
def anywhere(request):
    """The pool that takes the place of `asyncio`."""
    return {"asyncio": request.param}


@pytest.fixture(autouse=True)
def _no_thread_left():
    before = set(threading.enumerate())
    yield
    end = time.monotonic() + 10
    while set(threading.enumerate()) - before and time.monotonic() < end:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before


@dataclass
class Crowd:
    """Counts who waits at the same time."""

    now: int = 0
    most: int = 0

    async def stay(self, condition=None):
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await (condition() if condition else asyncio.sleep(0.002))
        finally:
            self.now -= 1


def told(values):
    """Values with failures as (node, kind of error)."""
    return [(v.node, type(v.error).__name__) if isinstance(v, Failure) else v for v in values]


async def child(x):
    for i in range(x):
        await asyncio.sleep(0)
        if i == 30:
            raise ValueError
        yield DROP if i == 1 else i


async def listed(child):
    await asyncio.sleep(0)
    return len(child)


async def paired(x, child):
    await asyncio.sleep(0)
    return x, child


async def folded(total, child):
    await asyncio.sleep(0)
    return [*total, child]


async def summed(total, listed):
    await asyncio.sleep(0)
    return total + listed


async def slow(x):
    await asyncio.sleep(30 if x == 40 else 0)
    return x


OPTIONS = {
    listed: {"gather": True},
    paired: {"gather": True},
    folded: {"fold": list},
    summed: {"fold": int, "combine": int.__add__, "on_error": "drop"},
    slow: {"timeout": 0.3},
}


class TestWaiting:
    def test_thousands_wait_at_once(self, graph):
        crowd, everyone = Crowd(), asyncio.Event()

        @graph.node
        async def wait(number):
            if crowd.now == 1999:
                everyone.set()
            await crowd.stay(everyone.wait)
            return -number

        assert list(run({"number": range(2000)}, graph=graph)) == [-number for number in range(2000)]
        assert crowd.most == 2000

    @pytest.mark.parametrize("stride", [1, 16])
    def test_no_more_than_workers(self, graph, stride):
        """No more wait at once than `workers` says."""
        crowd = Crowd()

        @graph.node(stride=stride)
        async def wait(number):
            await crowd.stay()
            return number

        assert list(run({"number": range(200)}, graph=graph, pools={"asyncio": "asyncio:10"})) == [*range(200)]
        assert crowd.most == 10

    @pytest.mark.parametrize("workers", [0, True, 1.5, "2"])
    def test_impossible_workers(self, workers):
        """Impossible numbers of workers."""
        with pytest.raises(OptionError, match="workers must be an integer"):
            BACKEND.make("asyncio", workers=workers)

    def test_default_of_async_nodes(self, graph):
        """It is the pool of async nodes that name none."""

        async def fetch(x): ...

        graph.add(fetch)
        graph.add(lambda fetch: fetch, name="plain")
        graph.add(functools.partial(fetch), name="named", pool="threads")
        plan = run({"x": []}, graph=graph).plan
        assert {name: step.pool for step in plan.steps for name in step.nodes if step.pool} == {
            "fetch": "asyncio", "plain": "processes", "named": "threads",
        }  # fmt: skip


class TestEverywhere:
    def test_failures_and_drops(self, graph, anywhere):
        errors = [ValueError("v"), SystemExit(3), asyncio.CancelledError(), ExceptionGroup("g", [KeyError("k")])]

        @graph.node(stride=4)
        async def fetch(x):
            await asyncio.sleep(0.001 * (7 - x % 7))
            if x == 5:
                return DROP
            if x == 6:
                raise StopIteration
            if x < 4:
                raise errors[x]
            return -x

        running = run({"x": range(9)}, graph=graph, errors="keep", pools=anywhere)
        kinds = ["ValueError", "SystemExit", "CancelledError", "ExceptionGroup"]
        found = list(running)
        assert told(found) == [*(("fetch", kind) for kind in kinds), -4, ("fetch", "RuntimeError"), -7, -8]
        assert found[0].key == (0,)
        assert (found[1].key, found[1].input, found[1].attempts) == ((1,), "1", 1)
        assert "raise errors[x]" in found[1].traceback
        assert "papympi/workers" not in found[1].traceback
        assert sorted(failure.key for failure in running.failures) == [(0,), (1,), (2,), (3,), (6,)]

    def test_keyboard_interrupt_fails(self, graph):
        """A keyboard interrupt of the function is a failure."""

        @graph.node
        async def fetch(x):
            if x == 1:
                raise KeyboardInterrupt
            await asyncio.sleep(0)
            return x

        for pool in ("asyncio", "threads:2"):
            found = list(run({"x": range(3)}, graph=graph, errors="keep", pools={"asyncio": pool}))
            assert told(found) == [0, ("fetch", "KeyboardInterrupt"), 2]

    def test_stages_of_several_nodes(self, graph, anywhere):
        @graph.node(stride=3)
        async def first(x):
            await asyncio.sleep(0)
            return DROP if x == 2 else x

        @graph.node(stride=3, pool="asyncio")
        def second(first):
            return 12 // first

        @graph.node(stride=3, on_error=lambda failure: failure.input)
        async def third(first, second):
            await asyncio.sleep(0)
            if first == 4:
                raise ValueError
            return first, second

        found = list(run({"x": range(6)}, graph=graph, errors="keep", pools=anywhere))
        assert told(found) == [("second", "ZeroDivisionError"), (1, 12), (3, 4), "4, 3", (5, 2)]

    def test_retries(self, graph, anywhere, tmp_path):
        @graph.node(retries=2, backoff=0.001, stride=4)
        async def fetch(x):
            await asyncio.sleep(0)
            tries = tmp_path / f"{x}"
            with tries.open("a") as file:
                file.write("x")
            if tries.stat().st_size <= x:
                raise OSError(x)
            return tries.stat().st_size

        found = list(run({"x": range(5)}, graph=graph, errors="keep", pools=anywhere))
        assert told(found) == [1, 2, 3, ("fetch", "OSError"), ("fetch", "OSError")]
        assert found[-1].attempts == 3

    def test_time_outs(self, graph, anywhere):
        @graph.node(timeout=0.25, stride=8)
        async def fetch(x):
            await asyncio.sleep(30 if x in {2, 5} else 0)
            return x

        found = list(run({"x": range(7)}, graph=graph, errors="keep", pools=anywhere))
        assert told(found) == [0, 1, ("fetch", "ItemTimeout"), 3, 4, ("fetch", "ItemTimeout"), 6]
        assert str(found[2].error) == "it took longer than 0.25 s"
        assert "await asyncio.sleep(30" in found[2].traceback

    def test_vectorized(self, graph, anywhere):
        @graph.node(vectorized=True, stride=4)
        async def double(x):
            await asyncio.sleep(0)
            if 5 in x:
                raise ValueError
            return [2 * each for each in x][: 3 if 8 in x else None]

        found = list(run({"x": range(12)}, graph=graph, errors="keep", pools=anywhere, strides={"double": 4}))
        assert told(found)[:8] == [0, 2, 4, 6, 8, ("double", "ValueError"), 12, 14]
        assert told(found)[8:] == [("double", "ValueError")] * 4

    def test_scatter_gather_and_fold(self, graph, anywhere):
        for function in (child, listed, paired, folded, summed):
            graph.add(function, **OPTIONS.get(function, {}))
        given = {"x": [3, 0, 40, 2]}
        for admission in (2, None):
            results = run(given, graph=graph, errors="keep", pools=anywhere, admission=admission).tee()
            assert list(results["summed"]) == [2 + 0 + 1]
            failed = ("child", "ValueError")
            assert told(results["paired"]) == [(3, [0, 2]), (0, []), failed, (2, [0])]
            assert told(results["folded"]) == [[0, 2], [], failed, [0]]

    def test_processes(self, graph):
        """Children and ranks do as threads do; one look is enough."""
        for function in (child, listed, paired, folded, summed, slow):
            graph.add(function, **OPTIONS.get(function, {}))
        results = run({"x": [2, 40, 7]}, graph=graph, errors="keep", pools={"asyncio": "processes:2"}).tee()
        assert list(results["summed"]) == [1 + 6]
        assert told(results["paired"]) == [(2, [0]), ("child", "ValueError"), (7, [0, 2, 3, 4, 5, 6])]
        assert told(results["slow"]) == [2, ("slow", "ItemTimeout"), 7]

    def test_scatters_and_folds_time_out(self, graph, anywhere):
        """Time-outs of scatters and folds."""

        @graph.node(timeout=0.25)
        async def child(x):
            for i in range(3):
                await asyncio.sleep(30 if x == i == 1 else 0)
                yield i

        @graph.node(gather=True)
        async def listed(child):
            return child

        @graph.node(fold=int, timeout=0.25)
        async def total(total, x):
            await asyncio.sleep(30 if x == 2 else 0)
            return total + x

        results = run({"x": range(3)}, graph=graph, errors="keep", pools=anywhere).tee()
        assert told(results["listed"]) == [[0, 1, 2], ("child", "ItemTimeout"), [0, 1, 2]]
        assert told(results["total"]) == [("total", "ItemTimeout")]

    @pytest.mark.parametrize("pool", ["asyncio", "inline"])  # threads may be abandoned
    def test_unwanted_generator_closes(self, graph, pool, tmp_path):
        """A generator is closed where nobody goes on."""

        @graph.node
        async def child(x):
            try:
                for i in range(10**9):
                    await asyncio.sleep(0)
                    yield i
            finally:
                await asyncio.sleep(0)
                (tmp_path / "closed").touch()

        with run({"x": [1]}, graph=graph, pools={"asyncio": pool}, admission=3) as running:
            assert [next(running) for _ in range(10)] == list(range(10))
        assert (tmp_path / "closed").exists()

    def test_resources(self, graph, anywhere):
        @graph.resource
        def base():
            yield 10

        @graph.resource
        def broken():
            raise OSError("no disk")

        @graph.node
        async def add(x, base):
            await asyncio.sleep(0)
            return x + base

        @graph.node(on_error=lambda failure: type(failure.error).__name__)
        async def never(x, broken): ...

        results = run({"x": [1, 2]}, graph=graph, errors="keep", pools=anywhere).tee()
        assert told(results["add"]) == [11, 12]
        assert told(results["never"]) == ["OSError"] * 2

    def test_context_variables_are_own(self, graph, anywhere):
        """Context variables are an item's own."""
        mine = contextvars.ContextVar("mine", default=None)

        @graph.node(stride=4)
        async def look(x):
            before = mine.get()
            mine.set(x)
            await asyncio.sleep(0.001)
            return before, mine.get()

        @graph.node
        async def child(x):
            mine.set(x)
            for _ in range(3):
                await asyncio.sleep(0)
                yield mine.get()

        results = run({"x": range(6)}, graph=graph, pools=anywhere, admission=2).tee()
        assert list(results["look"]) == [(None, x) for x in range(6)]
        assert list(results["child"]) == [x for x in range(6) for _ in range(3)]

    def test_map(self):
        async def add(x, y):
            await asyncio.sleep(0)
            return x + y

        assert list(papympi.map(add, [1, 2], [3, 4])) == [4, 6]
        assert list(papympi.map(add, [1, 2], [3, 4], pool="threads:2")) == [4, 6]

    def test_leftovers_are_cancelled(self, graph, anywhere):
        """What a call leaves behind is cancelled."""

        @graph.node
        async def fetch(x):
            fetch.left = asyncio.create_task(asyncio.sleep(300))
            await asyncio.sleep(0)
            return x

        assert list(run({"x": range(3)}, graph=graph, pools=anywhere)) == [0, 1, 2]

    def test_task_in_system_exit(self, graph, anywhere):
        """A task of the function that ends in SystemExit."""

        async def leave():
            raise SystemExit(4)

        @graph.node(stride=3)
        async def fetch(x):
            await (asyncio.create_task(leave()) if x == 1 else asyncio.sleep(0.01))
            return x

        found = list(run({"x": range(3)}, graph=graph, errors="keep", pools=anywhere))
        assert told(found) == [0, ("fetch", "SystemExit"), 2]


class TestSources:
    def test_async_sources(self, graph):
        @graph.resource
        def size():
            yield 3

        @graph.node
        async def counted(size):
            for i in range(size):
                await asyncio.sleep(0)
                yield i

        @graph.node
        async def named():
            await asyncio.sleep(0)
            return "abc"

        graph.add(lambda counted, named: (counted, named), name="both", pool="inline")
        assert list(run(graph=graph)) == [(0, "a"), (1, "b"), (2, "c")]

    def test_a_source_that_fails(self, graph):
        @graph.node
        async def source():
            yield 1
            await asyncio.sleep(0)
            raise ValueError

        graph.add(lambda source: source, name="sink", pool="inline")
        assert told(run(graph=graph, errors="keep")) == [1, ("source", "ValueError")]

    def test_endless_source_is_left(self, graph):
        """A source that waits for ever is left."""

        @graph.node
        async def source():
            yield 1
            await asyncio.Event().wait()

        graph.add(lambda source: source, name="sink", pool="inline")
        with run(graph=graph) as running:
            assert next(running) == 1


class TestTheLoop:
    def test_blocker_fails_alone(self, graph):
        """Who keeps the loop fails, and the rest is done again."""
        release = threading.Event()
        called = []

        @graph.node(timeout=0.3, stride=2)
        async def fetch(x):
            called.append(x)
            await asyncio.sleep(0.01)
            if x == 3:
                release.wait(300)
            await asyncio.sleep(0.01)
            return x

        @graph.node
        async def child(x):
            for i in range(20):
                await asyncio.sleep(0.005)
                yield 100 * x + i

        running = run({"x": range(8)}, graph=graph, errors="keep", admission=20)
        results = running.tee()
        assert told(results["fetch"]) == [0, 1, 2, ("fetch", "ItemTimeout"), 4, 5, 6, 7]
        assert list(results["child"]) == [100 * x + i for x in range(8) for i in range(20)]
        assert "could not be interrupted and was abandoned and replaced" in str(running.failures[0].error)
        assert called.count(3) == 1
        release.set()

    def test_abandoned_thread_rests(self, graph):
        """Nothing goes on in a thread that was abandoned."""
        release, begun, threads = threading.Event(), [], set()

        @graph.node(timeout=0.3, stride=4)
        async def fetch(x):
            begun.append(x)
            threads.add(threading.current_thread())
            if x == 0:
                release.wait(300)
            await asyncio.sleep(0)
            begun.append(x)
            return x

        found = list(run({"x": range(4)}, graph=graph, errors="keep"))
        assert told(found) == [("fetch", "ItemTimeout"), 1, 2, 3]
        release.set()
        for thread in threads:
            thread.join(30)
        assert sorted(begun) == [0, 1, 1, 2, 2, 3, 3]

    def test_plain_functions_time_out(self, graph):
        """Plain functions have their time, too."""
        release = threading.Event()
        graph.add(lambda x: release.wait(300) if x == 1 else x, name="wait", pool="asyncio", timeout=0.3, stride=4)
        found = list(run({"x": range(4)}, graph=graph, errors="keep"))
        assert told(found) == [0, ("wait", "ItemTimeout"), 2, 3]
        release.set()

    def test_uncancellable_is_left(self, graph):
        """Who does not let itself be cancelled is left."""

        @graph.node(timeout=0.1, stride=3)
        async def fetch(x):
            try:
                await asyncio.sleep(30 if x == 1 else 0)
            except asyncio.CancelledError:
                await asyncio.sleep(30)
            return x

        found = list(run({"x": range(3)}, graph=graph, errors="keep"))
        assert told(found) == [0, ("fetch", "ItemTimeout"), 2]

    def test_kept_loop_costs_nobody(self, graph):
        """A loop that was kept by others costs nobody his time."""

        @graph.node(timeout=0.4)
        async def fetch(x):
            await asyncio.sleep(0.3)
            return x

        @graph.node(fuse=False)
        async def block(x):
            await asyncio.sleep(0.1)
            time.sleep(0.7 if x == 3 else 0)

        results = run({"x": range(4)}, graph=graph).tee()
        assert list(results["fetch"]) == [0, 1, 2, 3]

    def test_thousands_are_cancelled(self, graph, caplog, capfd):
        """Cancelling thousands that wait."""
        ended, crowd, everyone = [], Crowd(), threading.Event()

        @graph.node
        async def wait(x):
            try:
                if crowd.now == 1499:
                    everyone.set()
                await crowd.stay(asyncio.Event().wait)
            finally:
                await asyncio.sleep(0)
                ended.append(x)

        running = run({"x": iter(range(10**6))}, graph=graph, admission=1500)
        reader = threading.Thread(target=attempt, args=(list, running))
        reader.start()
        assert everyone.wait(30)
        running.cancel()
        reader.join(30)
        assert len(ended) == 1500
        assert not caplog.records
        assert capfd.readouterr() == ("", "")

    def test_bad_batch_ends_run(self, graph):
        """A batch that cannot be evaluated ends the run."""

        class Odd(dict):
            def __getitem__(self, key):
                raise LookupError("odd")

        def break_and_count():
            running.plan.program.stages = Odd()
            yield 1

        graph.add(lambda x: x, name="node", pool="asyncio")
        running = run({"x": break_and_count()}, graph=graph)
        with pytest.raises(PoolError, match="a batch could not be evaluated: LookupError: odd"):
            list(running)

    def test_kept_thread_lets_python_end(self):
        """A thread that is kept does not hold up the interpreter."""
        program = """
            import time
            from papympi.pools.asyncio import AsyncioPool
            from papympi.testing import Driver, build_map
            from papympi.transport.task import Kind

            pool = AsyncioPool("asyncio")
            pool.open(build_map(time.sleep))
            Driver(pool).submit(Kind.CALL, [300])
            time.sleep(0.1)
            pool.kill()
            print("end")
        """
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
            capture_output=True, text=True, timeout=50, check=True,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("end\n", "")

    def test_ctrl_c_ends_inline_await(self):
        """Ctrl-C ends what is awaited inline."""
        program = """
            import asyncio, os, signal, threading
            import papympi

            async def wait(x):
                threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
                try:
                    await asyncio.sleep(300)
                finally:
                    ended.append("cleaned up")

            ended = []
            try:
                list(papympi.map(wait, [1, 2], pool="inline"))
            except KeyboardInterrupt:
                print(*ended, "interrupted")
        """
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
            capture_output=True, text=True, timeout=50, check=True,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("cleaned up interrupted\n", "")

    def test_seeds_are_their_own(self, graph):
        """Each call has a seed of its own."""

        @graph.node(stride=4)
        async def draw(x):
            await asyncio.sleep(0.001 * (3 - x % 3))
            return papympi.seed().spawn_key, await asyncio.create_task(again())

        async def again():
            return papympi.seed().spawn_key

        found = [list(run({"x": range(6)}, graph=graph, pools={"asyncio": pool})) for pool in ANY]
        assert found[0] == found[1] == found[2]
        assert all(one == other for one, other in found[0])
        assert len(set(found[0])) == 6

    def test_items_look_like_coroutines(self, graph):
        @graph.node
        async def look(x):
            coroutine = asyncio.current_task().get_coro()
            await asyncio.sleep(0)
            return inspect.getcoroutinestate(coroutine), coroutine.cr_code.co_name

        assert list(run({"x": [1]}, graph=graph)) == [("CORO_RUNNING", "look")]

    def test_in_a_notebook(self, graph):
        @graph.node
        async def fetch(x):
            await asyncio.sleep(0)
            return x

        async def cell():
            return [list(run({"x": [1, 2]}, graph=graph, pools={"asyncio": pool})) for pool in ("asyncio", "inline")]

        assert asyncio.run(cell()) == [[1, 2], [1, 2]]

    def test_time_out_names_seconds(self, graph):
        @graph.node(timeout=0.05, vectorized=True, stride=2)
        async def fetch(x):
            await asyncio.sleep(0.4 if 3 in x else 0)
            return x

        found = list(run({"x": range(4)}, graph=graph, errors="keep", strides={"fetch": 2}))
        assert told(found) == [0, 1, 2, ("fetch", "ItemTimeout")]
        assert isinstance(found[3].error, ItemTimeout)
        assert found[3].error.seconds == 0.05
