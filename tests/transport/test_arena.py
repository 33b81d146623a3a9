"""Large values through shared blocks: the same values, whatever happens to them, and the blocks come back."""

import gc
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import papympi
from papympi import Graph
from papympi.errors import OptionError
from papympi.transport.arena import LEAST, ChildAllocator, open_arena
from papympi.transport.lending import ParentAllocator
from papympi.transport.payload import Payload
from papympi.transport.relaying import accept, offer
from papympi.workers.host import count_memory

MB = 1 << 20


BACKENDS = ["processes", "mpi"]


def pools(shared="256MiB", workers=2, backend="processes"):
    return {"processes": {"backend": backend, "workers": workers, "shared_memory": shared}}


def chain(*functions, **options):
    """A graph that calls functions one after the other, each in a stage of its own on `processes`."""
    graph, before = Graph("chain"), "x"
    for number, function in enumerate(functions):
        graph.node(function, name=f"n{number}", inputs={"v": before}, pool="processes", fuse=False, **options)
        before = f"n{number}"
    return graph


def arrays(count, size=MB):
    return (np.full(size // 8, number, "i8") for number in range(count))


def as_inputs(values):
    graph = Graph("inputs")

    @graph.node
    def x():
        yield from values

    return graph


def run(values, *functions, shared="256MiB", backend="processes", **options):
    """The results of a chain over some values."""
    graph = chain(*functions, **options)
    source = as_inputs(values)
    source.include(graph)
    with papympi.run(graph=source, pools=pools(shared, backend=backend)) as results:
        yield from results


def same(v):
    return v


def plus_one(v):
    return v + 1


def linger(_v):
    time.sleep(0.02)


def add_late(v, _late):
    return v + 1


def spoil(v):
    before = v.copy()
    v += 100
    return before


def spoil_once(v):
    v += 1
    return v


KEPT = []


def keep(v):
    KEPT.append(v)
    return [int(kept[0]) for kept in KEPT], int(v[0])


@pytest.fixture
def ends():
    """A parent's end and a child's, which are in one process here."""
    arena = open_arena(8 * MB, 1)
    lender = ParentAllocator(arena, 0)
    tenant = ChildAllocator(os.dup(lender.descriptor))
    tenant.use_part(lender.child_part())
    yield lender, tenant
    os.close(tenant._descriptor)
    arena.close()


def test_view_is_sent_on_uncopied(ends):
    """A view that is sent on is not copied, and its block is free after the last one."""
    lender, tenant = ends
    offset = tenant.put(memoryview(bytes(MB)))
    view = lender.get(offset, MB)
    assert lender.put(view) == offset
    assert lender.put(view[1:]) != offset
    del view
    assert lender.take_returned() == []
    lender.take_held()
    assert lender.take_returned() == [offset]
    tenant.give([offset])
    assert tenant.put(memoryview(bytes(MB))) == offset


def test_value_is_a_copy(ends):
    """What becomes a value is a copy and does not keep its block."""
    lender, tenant = ends
    body, (buffer,) = Payload([np.ones(MB // 8)]).encode()
    offset = tenant.put(buffer)
    payload = Payload(None, (body, (lender.get(offset, MB),)), 1)
    (value,) = payload.values()
    value[...] = 5
    (again,) = Payload(None, payload.encode(), 1).values()
    assert set(again) == {1}
    del payload
    assert lender.take_returned() == [offset]
    assert set(value) == {5}


def take_last(lender, tenant, number):
    """What the consumer of a run gets of an array that a child has sent, and the offset of its block."""
    body, (buffer,) = Payload([np.full(MB // 8, number)]).encode()
    offset = tenant.put(buffer)
    (value,) = Payload(None, (body, (lender.get(offset, MB),)), 1).values(last=True)
    return value, offset


def test_half_the_blocks_are_lent(ends):
    """A consumer gets blocks until half of them are lent, and then copies."""
    lender, tenant = ends
    taken = [take_last(lender, tenant, number) for number in range(4)]
    for value, _ in taken:
        value[...] += 10
    in_blocks = [set(np.frombuffer(tenant.get(offset, MB), int)) for _, offset in taken]
    assert in_blocks == [{10}, {11}, {2}, {3}]
    assert [set(value) for value, _ in taken] == [{10}, {11}, {12}, {13}]
    assert sorted(lender.take_returned()) == sorted(offset for _, offset in taken[2:])
    offsets = [offset for _, offset in taken]
    taken.clear()
    del value
    assert sorted(lender.take_returned()) == sorted(offsets[:2])


def test_closed_arena_keeps_little():
    """Of a closed arena only what a consumer keeps is kept."""
    arena = open_arena(64 * MB, 2)
    lender = ParentAllocator(arena, 1)
    tenant = ChildAllocator(os.dup(lender.descriptor))
    tenant.use_part(lender.child_part())
    looked_at = os.dup(lender.descriptor)
    values = [take_last(lender, tenant, number)[0] for number in range(8)]
    lender.put(memoryview(bytes(4 * MB)))
    kept = values[5]
    values.clear()
    lender.take_held()
    lender.take_returned()
    os.close(tenant._descriptor)
    arena.close()
    assert set(kept) == {5}
    assert os.fstat(looked_at).st_blocks * 512 <= 5 * MB  # the block, and the parent's own part
    os.close(looked_at)


def test_passage_copies_nothing():
    """Who hands on copies nothing and gives every block back."""
    arena = open_arena(8 * MB, 1)
    lender = ParentAllocator(arena, 0)
    ours, theirs = socket.socketpair()
    offer(ours, arena)
    relay = accept(theirs)
    there = relay.get(lender.put(memoryview(b"there" * MB)[: 2 * MB]), 2 * MB)
    lender.held[0][:4] = b"THEM"
    assert bytes(there[:6]) == b"THEMet"
    assert relay.returned == []
    del there
    assert relay.returned == [lender.locate(view) for view in lender.take_held()]
    room = relay.take_room(3 * MB)
    offset = relay.put(room)
    back = lender.get(offset, 3 * MB)
    room[:4] = b"back"
    assert bytes(back[:4]) == b"back"
    assert relay.take_room(3 * MB) is None
    del back, room
    relay.give(lender.take_returned())
    assert relay.put(memoryview(bytes(3 * MB))) == offset
    os.close(relay._descriptor)
    arena.close()
    ours.close()
    theirs.close()


def test_passage_may_get_nothing():
    """Who hands on may be offered nothing."""
    ours, theirs = socket.socketpair()
    offer(ours, None)
    assert accept(theirs) is None
    ours.close()
    with pytest.raises(EOFError):
        accept(theirs)
    theirs.close()


def test_dead_childs_loan_is_kept(ends):
    """What a dead child has lent is not overwritten by the next."""
    lender, tenant = ends
    lent, lost = (tenant.put(memoryview(bytes([number]) * MB)) for number in (1, 2))
    view = lender.get(lent, MB)
    tenant.use_part(lender.child_part())
    offsets = []
    while (offset := tenant.put(memoryview(bytes([3]) * MB))) >= 0:
        offsets.append(offset)
    assert lost in offsets
    assert lent not in offsets
    assert bytes(view) == bytes([1]) * MB


SIZES = st.sampled_from([0, 8, 16 * 1024, LEAST - 8, LEAST, LEAST + 8, 300_000, MB])


@settings(max_examples=4, deadline=None)
@given(st.lists(SIZES, min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 5))
def test_sizes_and_strides_agree(sizes, first, second):
    """Values are the same across thresholds and strides."""
    values = [
        (np.arange(size // 8)[::-1] if i % 2 else np.arange(size // 8), bytes(size)) for i, size in enumerate(sizes)
    ]
    graph = as_inputs(values)
    graph.node(same, name="a", inputs={"v": "x"}, pool="processes", fuse=False, stride=first)
    graph.node(same, name="b", inputs={"v": "a"}, pool="processes", fuse=False, stride=second)
    graph.node(same, name="c", inputs={"v": "b"}, pool="threads", stride=first)
    with papympi.run(graph=graph, pools=pools(), targets=["a", "c"]) as results:
        got = {"a": [], "c": []}
        for result in results.results():
            got[result.node].append(result.value)
    for found in got.values():
        assert len(found) == len(values)
        for (array, data), (sent, body) in zip(found, values, strict=True):
            assert array.dtype == sent.dtype
            assert (array == sent).all()
            assert data == body
            assert array.flags.writeable
            array[...] = -1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shared", [0, "1MiB", "6MiB", "256MiB"])
def test_any_cap_gives_the_same(shared, backend, nothing_left):
    """Results are the same whatever the cap, and many times the cap goes through."""
    results = run(arrays(40), plus_one, plus_one, shared=shared, backend=backend)
    found = [int(value.sum()) for value in results]
    assert found == [(number + 2) * MB // 8 for number in range(40)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_kept_results_stay(backend):
    """Results that are kept stay as they are."""
    found = list(run(arrays(30), plus_one, shared="8MiB", backend=backend))
    assert [set(value) for value in found] == [{number + 1} for number in range(30)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_in_place_is_its_own(backend):
    """What a function changes in place is its own."""
    graph = as_inputs(arrays(12))
    graph.node(plus_one, name="p", inputs={"v": "x"}, pool="processes", fuse=False, stride=2)
    for name in "ab":
        graph.node(spoil, name=name, inputs={"v": "p"}, pool="processes", fuse=False, stride=3)
    with papympi.run(graph=graph, pools=pools(backend=backend), targets=["a", "b"]) as results:
        found = [(result.node, set(result.value)) for result in results.results()]
    assert sorted(found) == sorted((name, {number + 1}) for name in "ab" for number in range(12))


@pytest.mark.parametrize("ordered", [True, False])
def test_consumer_owns_results(ordered, tmp_path):
    """What a consumer changes is nobody else's."""
    graph = as_inputs(list(arrays(24)))
    graph.node(plus_one, name="p", inputs={"v": "x"}, pool="processes", fuse=False, stride=3)
    graph.node(linger, name="late", inputs={"_v": "p"}, pool="threads")
    graph.node(add_late, name="q", inputs={"v": "p", "_late": "late"}, pool="processes", stride=2)
    options = {"pools": pools("64MiB"), "targets": ["p", "q"], "journal": tmp_path / "run", "ordered": ordered}
    for resume in (False, True):
        found = {"p": [], "q": []}
        with papympi.run(graph=graph, resume=resume, **options) as results:
            for result in results.results():
                found[result.node].append(set(result.value))
                result.value[...] = -5
        assert sorted(map(min, found["p"])) == list(range(1, 25))
        assert sorted(map(min, found["q"])) == list(range(2, 26))
        assert all(len(values) == 1 for values in [*found["p"], *found["q"]])


@pytest.mark.parametrize("backend", BACKENDS)
def test_kept_by_function_stays(backend):
    """What a function keeps stays as it is."""
    for kept, last in run(arrays(60), keep, shared="8MiB", backend=backend, stride=1):
        assert kept[-1] == last
        assert kept == sorted(set(kept))


@pytest.mark.parametrize("backend", BACKENDS)
def test_killed_children_keep_no_block(backend, nothing_left):
    """Children that are killed with large values cost their items and no blocks."""

    def die(v):
        if v[0] % 5 == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return v + 1

    graph = as_inputs(arrays(40))
    graph.node(plus_one, name="p", inputs={"v": "x"}, pool="processes", fuse=False, stride=2)
    graph.node(die, name="d", inputs={"v": "p"}, pool="processes", fuse=False, stride=4)
    with papympi.run(graph=graph, pools=pools("16MiB", backend=backend), errors="keep") as results:
        found = list(results)
    for number, value in enumerate(found):
        if (number + 1) % 5 == 3:
            assert isinstance(value, papympi.Failure)
        else:
            assert set(value) == {number + 2}


def test_two_runs_at_once():
    pairs = zip(run(arrays(20), plus_one), run(arrays(20), spoil_once), strict=True)
    assert all((one == other).all() for one, other in pairs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_cut_off_leaves_no_file(backend, nothing_left):
    """No memory file is left of a run that is cut off."""
    results = run(arrays(50), plus_one, shared="16MiB", backend=backend)
    assert next(results)[0] == 1
    results.close()
    del results
    gc.collect()


def test_no_pages_means_sockets():
    """No pages to be had means sockets."""
    program = """
        import resource
        import numpy as np
        import papympi
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        found = list(papympi.map(abs, [np.full(1 << 18, -n) for n in range(6)]))
        print([int(value[-1]) for value in found])
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[0, 1, 2, 3, 4, 5]"), done.stderr


def test_limit_ignores_shared():
    """A memory limit of children does not count shared memory."""
    options = {"backend": "processes", "workers": 1, "memory": "300 MB", "shared_memory": "4 GiB"}
    graph = as_inputs(arrays(20, 8 * MB))
    graph.node(plus_one, name="p", inputs={"v": "x"}, pool="processes", stride=1)
    with papympi.run(graph=graph, pools={"processes": options}) as results:
        assert [int(value[0]) for value in results] == list(range(1, 21))


@pytest.mark.parametrize(("options", "size"), [({"shared_memory": "96MiB"}, 96 * MB), ({}, count_memory() // 4)])
def test_ranks_divide_shared_memory(options, size):
    """The ranks of a host divide its shared memory."""

    def look(v):
        maps = Path("/proc/self/maps").read_text()
        (ends,) = re.findall(r"^(\w+)-(\w+) .*memfd:papympi-arena", maps, re.MULTILINE)
        return os.getpid(), int(ends[1], 16) - int(ends[0], 16)

    graph = chain(look, stride=1)
    pool = {"backend": "mpi", "workers": 3, "workers_per_rank": 2, **options}
    with papympi.run({"x": range(60)}, graph=graph, pools={"processes": pool}) as results:
        sizes = dict(results)
    assert len(sizes) > 1
    assert all(found == -(-(size // 4) // 4096) * 4096 for found in sizes.values())  # the way there has a part, too


def test_the_cap_must_be_a_size():
    with pytest.raises(OptionError, match="shared_memory is 'much'"):
        list(run(arrays(1), same, shared="much"))
