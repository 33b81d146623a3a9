"""What every worker process does before its first item: once, in order, and again in a worker that takes its place."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import pytest

import papympi
from papympi import Graph, GraphError, OptionError, SetupError, run
from papympi.plan.compile import compile_plan
from papympi.plan.wiring import wire
from papympi.stores.fingerprint import fingerprint_nodes
from papympi.testing.driver import POOLS, of_two

CHILDREN = ("processes:2", "mpi:2")
EVERY = [of_two(pool) for pool in POOLS] + ["asyncio", "loky:2"]


def write(log, word):
    with Path(log).open("a") as file:
        file.write(f"{word} {os.getpid()}\n")


def read(log):
    """Return the words of each process, by its id."""
    words: dict[str, list[str]] = {}
    for line in Path(log).read_text().splitlines():
        word, pid = line.split()
        words.setdefault(pid, []).append(word)
    return words


def build(log, **options):
    """Return a graph with two setups, the first of which is torn down, and a resource, which all write into a log."""
    graph = Graph()

    @graph.setup
    def first():
        write(log, "first")
        yield
        write(log, "end")

    @graph.setup
    def second():
        write(log, "second")

    @graph.resource
    def held():
        write(log, "made")
        yield 1
        write(log, "gone")

    @graph.node(pool="pool", stride=1, **options)
    def called(item, held):
        write(log, "item")
        return item

    return graph


def values(graph, items, pool, **options):
    return list(run({"item": items}, graph=graph, pools={"pool": pool}, by_value=("__main__", __name__), **options))


@pytest.mark.parametrize("pool", EVERY[:-1])
def test_once_in_each_process(pool, tmp_path):
    log = tmp_path / "log"
    assert values(build(log), range(8), pool) == list(range(8))
    words = read(log)
    assert len(words) <= 2
    for each in words.values():
        assert each[:2] == ["first", "second"]
        assert each.count("first") == each.count("second") == 1
        assert each[-1] == "end"
        assert "gone" not in each or each.index("gone") < each.index("end")


def test_executor_processes_too(tmp_path):
    log = tmp_path / "log"
    assert values(build(log), range(8), "loky:2") == list(range(8))
    assert [each[:2] for each in read(log).values()] == [["first", "second"]] * len(read(log))


def test_once_for_all_local_pools(tmp_path):
    """The pools of the runner's process are one process."""
    log = tmp_path / "log"
    graph = build(log)
    graph.add(lambda called: called, name="after", pool="threads")
    graph.add(lambda after: after, name="last", pool="inline")
    assert values(graph, range(3), "asyncio") == [0, 1, 2]
    (words,) = read(log).values()
    assert words[:2] == ["first", "second"]
    assert words[-1] == "end"
    assert len([word for word in words if word in ("first", "second", "end")]) == 3


@pytest.mark.parametrize("pool", CHILDREN)
def test_again_in_a_replaced_worker(pool, tmp_path):
    log = tmp_path / "log"
    graph = build(log)

    @graph.node(pool="pool", stride=1, fuse=False)
    def crash(called):
        if called == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return called

    found = values(graph, range(6), pool, errors="drop")
    assert found == [0, 1, 3, 4, 5]
    assert len(read(log)) == 3
    assert all(each[:2] == ["first", "second"] for each in read(log).values())


def fail():
    raise ValueError("there is no such device")


@pytest.mark.timeout(90)
@pytest.mark.parametrize("pool", [*EVERY, {"backend": "mpi", "workers": 2, "isolate": False}])
def test_exception_ends_the_run(pool, tmp_path):
    log = tmp_path / "log"
    graph = build(log)
    graph.setup(fail)
    with pytest.raises(SetupError, match="(?s)setup 'fail' failed on worker .*there is no such device") as caught:
        values(graph, range(4), pool, errors="keep")
    assert "in fail" in str(caught.value)
    assert "item" not in log.read_text()


@pytest.mark.parametrize("pool", ["processes:1", "mpi:1"])
def test_exception_later(pool, tmp_path):
    """It ends the run, too, if it is raised in a worker that replaces another."""
    graph, log = Graph(), tmp_path / "log"

    @graph.setup
    def twice():
        write(log, "begun")
        if Path(log).read_text().count("begun") > 1:
            raise ValueError("too often")

    @graph.node(pool="pool", stride=1)
    def crash(item):
        if item == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    with pytest.raises(SetupError, match="(?s)'twice'.*too often"):
        values(graph, range(50), pool, errors="keep")


def test_crash_in_it_is_named():
    graph = Graph()
    graph.setup(lambda: os.kill(os.getpid(), signal.SIGKILL), name="deadly")
    graph.add(lambda item: item, name="called", pool="pool")
    with pytest.raises(papympi.PoolError, match="died before they were ready: .*while it called the setup 'deadly'"):
        values(graph, range(3), "processes:1")


def test_two_yields_are_logged(pool, capfd, caplog):
    """What comes after the second yield is never reached, which is said at the end."""
    graph = Graph()

    @graph.setup
    def twofold():
        yield
        yield

    graph.add(lambda item: item, name="called", pool="pool")
    with caplog.at_level(logging.ERROR):
        assert values(graph, [1], of_two(pool)) == [1]
    said = capfd.readouterr().err + caplog.text
    assert "it could not be taken down" in said
    assert "it yields more than once" in said


def test_prints_have_its_name(pool, capfd):
    graph = Graph()
    graph.setup(lambda: print("loaded"), name="weights")
    graph.add(lambda item: item, name="called", pool="pool")
    values(graph, [1], of_two(pool))
    lines = [line for line in capfd.readouterr().err.splitlines() if "loaded" in line]
    assert lines
    assert all(
        "[setup 'weights' pool" in line for line in lines
    )  # a worker that was not needed may come behind the end


settings = {"unit": "none"}


def choose(unit, *more):
    settings["unit"] = unit + "".join(more)


def read_unit(item):
    return settings["unit"]


@pytest.mark.parametrize("pool", EVERY)
def test_initializer_of_a_map(pool):
    """It is what executors call so."""

    def choose(unit, *more):
        settings["unit"] = unit + "".join(more)

    settings["unit"] = "none"
    found = papympi.map(lambda _: settings["unit"], range(3), pool=pool, initializer=choose, initargs=("m", "m"))
    assert list(found) == ["mm"] * 3


@pytest.mark.parametrize("backend", [*POOLS, "loky"])
def test_initializer_of_a_pool(backend):
    """It comes before the setups of the graph."""
    graph = Graph()
    settings["unit"] = "none"

    @graph.setup
    def double():
        settings["unit"] *= 2

    graph.add(read_unit, name="called", inputs={"item": "items"}, pool="pool")
    table = {"backend": backend, "initializer": choose, "initargs": ("m",)}
    pools = {"pool": table if backend == "inline" else {**table, "workers": 1}}
    found = run({"items": range(2)}, graph=graph, pools=pools, by_value=("__main__", __name__))
    assert list(found) == ["mm"] * 2


def test_initializer_of_a_member():
    graph = Graph()
    graph.add(read_unit, name="called", inputs={"item": "items"}, pool="pool")
    member = {"backend": "processes", "workers": 1, "initializer": choose, "initargs": ("s",)}
    found = run({"items": [1]}, graph=graph, pools={"pool": {"members": ["one"]}, "one": member}, by_value=(__name__,))
    assert list(found) == ["s"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"initializer": "m"}, "pool 'pool': initializer is 'm', not a function"),
        ({"initargs": ("m",)}, "pool 'pool': initializer is None, not a function"),
        ({"initializer": print, "initargs": 3}, "pool 'pool': initargs is 3, not a tuple of arguments"),
    ],
)
def test_impossible_initializers(options, words):
    graph = Graph()
    graph.add(abs, name="called", inputs={"x": "items"}, pool="pool")
    with pytest.raises(OptionError, match=words):
        run({"items": [1]}, graph=graph, pools={"pool": {"backend": "threads", **options}})


def test_what_cannot_be_a_setup():
    graph = Graph()

    async def later():
        pass

    with pytest.raises(GraphError, match="setup 'later' .* is async; a setup is called by a plain function"):
        graph.setup(later)
    with pytest.raises(GraphError, match="setup 'choose' .* has the parameter 'unit'"):
        graph.setup(choose)
    graph.setup(fail)
    with pytest.raises(GraphError, match="the name 'fail' is taken: setup 'fail' .* and resource 'fail'"):
        graph.resource(lambda: 1, name="fail")


def test_graphs_bring_theirs_along():
    inner, outer = Graph(), Graph()
    inner.setup(fail)
    outer.include(inner, "inner.")
    assert list(outer.setups) == ["inner.fail"]
    assert list(outer.with_functions({}).setups) == ["inner.fail"]
    assert [spec.name for spec in compile_plan(_with_node(outer)).program.setups] == ["inner.fail"]
    outer.clear()
    assert not outer.setups


def _with_node(graph):
    graph.add(lambda item: item, name="called")
    return graph


def test_its_code_is_part_of_the_results():
    """A resumed run notices that a setup has changed."""
    found = []
    for made in (lambda: choose("a"), lambda: choose("b")):
        graph = _with_node(Graph())
        graph.setup(made, name="unit")
        found.append(fingerprint_nodes(wire(graph, None, ["item"]))["called"])
    assert found[0].keys() == found[1].keys()
    assert found[0] != found[1]
