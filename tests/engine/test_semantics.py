"""Whatever the strides, pools, fusion, admission and order of completion: the results are the naive evaluator's."""

from __future__ import annotations

import asyncio
import os
import pickle
import random
import sqlite3
import tempfile
import time
import warnings
import zlib
from collections import Counter, deque
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.errors import UnsatisfiedAssumption

from papympi import DROP, Failure, Graph, GraphError, NodeError, run
from papympi.contracts import Capabilities
from papympi.errors import ItemTimeout, WorkerLost
from papympi.model.graph import GraphWarning
from papympi.plan.compile import PlanSettings, compile_plan
from papympi.runner.journal_options import JournalOptions
from papympi.transport.task import Lost, Outcome, Task
from papympi.workers.evaluation.columns import load_column
from papympi.workers.evaluation.evaluate import Evaluator


class Calls(Counter):
    """How often each map was called with what; no part of its code, whatever is in it."""

    def __reduce__(self):
        return "CALLS"


CALLS = Calls()


def digest(*values):
    """A value that depends on everything given, the same in every process."""
    return zlib.crc32(repr(values).encode())


class Killed(ValueError):
    """Stands for the death of a worker in this process."""


class Trouble:
    """What goes wrong besides ordinary exceptions, while a test says so.

    Attributes:
        retries: by node; their items stumble at most so often before they go well.
        kills: an item that fails takes its worker with it; in another process than this one, really.
        healed: nothing fails any more.
    """

    def __init__(self):
        self.retries, self.kills, self.tries = {}, False, Counter()
        self.healed = False

    def __reduce__(self):
        return "TROUBLE"

    @contextmanager
    def stir(self, retries=(), *, kills=False):
        self.retries, self.kills, self.tries = dict(retries), kills, Counter()
        if kills:
            os.environ["TEST_KILLS"] = str(os.getpid())  # workers see it, who may have imported another `TROUBLE`
        try:
            yield
        finally:  # a graph may turn out to be impossible
            os.environ.pop("TEST_KILLS", None)
            self.__init__()

    def stumble(self, name, *values):
        """Fail if it is not the item's turn to go well."""
        self.tries[name, values] += 1
        if self.tries[name, values] <= digest(name, "stumble", values) % (self.retries.get(name, 0) + 1):
            raise ConnectionError(name)

    @contextmanager
    def heal(self):
        self.healed = True
        yield
        self.__init__()

    def fail(self, name):
        if self.healed:
            return
        if os.environ.get("TEST_KILLS", str(os.getpid())) != str(os.getpid()):
            os._exit(3)
        raise Killed(name) if self.kills else ValueError(name)


TROUBLE = Trouble()


def call_map(name, drop, fail, *values):
    """The function of a map: drops one in `drop` and fails one in `fail` items."""
    TROUBLE.stumble(name, *values)
    CALLS[name, values] += 1
    if fail and digest(name, "fail", values) % fail == 0:
        TROUBLE.fail(name)
    if drop and digest(name, "drop", values) % drop == 0:
        return DROP
    return digest(name, values)


def call_scatter(name, fan, fail, *values):
    """The function of a scatter: up to `fan` children; one in `fail` parents fails midway."""
    count = digest(name, "fan", values) % (fan + 1)
    for child in range(count):
        if (
            fail
            and digest(name, "fail", values) % fail == 0
            and child == (0 if "TEST_KILLS" in os.environ else count // 2)
        ):
            TROUBLE.fail(name)
        if child == count // 2:
            TROUBLE.stumble(name, *values)
        yield digest(name, values, child)


def call_fold(name, fail, total, *values):
    if fail and digest(name, "fail", values) % fail == 0:
        TROUBLE.fail(name)
    return (*total, digest(name, values))


def combine(left, right):
    return left + right


def is_failed(value):
    return isinstance(value, tuple) and value[:1] == ("failed",)


def drops(spec, failed, depth):
    """Return whether a node drops a failure that arrives: that of an item, and not of what the item is a child of."""
    return spec.get("on_error") == "drop" and len(failed[2]) >= depth


class Naive:
    """The semantics in the plainest form: every node over all items at once, in dictionaries by key."""

    def __init__(self, specs, culprits=()):
        self.values, self.spaces, self.counts, self.culprits, self.failures = {}, {}, {}, culprits, set()
        for spec in specs:
            getattr(self, "do_" + spec["kind"])(spec)

    def rows(self, spec):
        """Yield (key, values of the inputs) wherever all are there; the deepest input says where."""
        deepest = max(spec["inputs"], key=lambda name: len(self.spaces[name]))
        for key in self.values[deepest]:
            row = [self.values[name].get(key[: len(self.spaces[name])]) for name in spec["inputs"]]
            yield from [(key, row)] * (None not in row)

    def call(self, spec, function, key, values):
        """Return what a call gives: a failure that it was given, its own, or its value."""
        failed = next(filter(is_failed, values), None)
        if failed and drops(spec, failed, len(key)):
            return DROP
        with suppress(ValueError):
            if failed or (spec["name"], key) not in self.culprits:
                return failed or function(spec["name"], *spec["settings"], *values)
        self.failures.add((spec["name"], key))
        return DROP if spec.get("on_error") == "drop" else ("failed", spec["name"], key)

    def do_source(self, spec):
        self.spaces[spec["name"]], self.counts[spec["row"],] = (spec["row"],), {(): spec["size"]}
        self.values[spec["name"]] = {(i,): digest(spec["name"], i) for i in range(spec["size"])}

    def do_map(self, spec):
        found = ((key, self.call(spec, call_map, key, row)) for key, row in self.rows(spec))
        self.values[spec["name"]] = {key: value for key, value in found if value is not DROP}
        self.spaces[spec["name"]] = max((self.spaces[name] for name in spec["inputs"]), key=len)

    def do_scatter(self, spec):
        above = max((self.spaces[name] for name in spec["inputs"]), key=len)
        space = self.spaces[spec["name"]] = (*above, spec["name"])
        counts, values = self.counts.setdefault(space, {}), self.values.setdefault(spec["name"], {})
        for key, row in self.rows(spec):
            failed = next(filter(is_failed, row), None)
            generator = call_scatter(spec["name"], *spec["settings"], *row)
            step = partial(self.call, spec, lambda *_, generator=generator: next(generator, None), key, [])
            children = [failed] if failed else [child for child in iter(step, None) if child is not DROP]
            children = [child for child in children if not (child is failed and drops(spec, failed, len(key)))]
            counts[key] = len(children)
            values.update({(*key, i): child for i, child in enumerate(children)})

    def siblings(self, spec):
        """Yield (parent's key, the values of its children in order)."""
        values = self.values[spec["inputs"][0]]
        depth = len(self.spaces[spec["inputs"][0]])
        values = {key: value for key, value in values.items() if not (is_failed(value) and drops(spec, value, depth))}
        for parent, count in sorted(self.counts[self.spaces[spec["inputs"][0]]].items()):
            yield parent, [(key, values[key]) for i in range(count) if (key := (*parent, i)) in values]

    def join(self, spec, members):
        """Return what a gathering node makes of a list of (key, value): the first failure in it passes."""
        values = [value for _, value in members]
        return next(filter(is_failed, values), None) or digest(spec["name"], values)

    def do_gather(self, spec):
        self.spaces[spec["name"]] = self.spaces[spec["inputs"][0]][:-1]
        self.values[spec["name"]] = {parent: self.join(spec, members) for parent, members in self.siblings(spec)}

    def do_group(self, spec):
        space = self.spaces[spec["name"]] = (*self.spaces[spec["inputs"][0]][:-1], spec["name"])
        self.values[spec["name"]] = found = {}
        counts, size = self.counts.setdefault(space, {}), spec["size"]
        for parent, members in self.siblings(spec):
            groups = [members[i : i + size] for i in range(0, len(members), size)]
            counts[parent] = len(groups)
            found.update({(*parent, i): self.join(spec, group) for i, group in enumerate(groups)})

    def do_fold(self, spec):
        self.spaces[spec["name"]] = self.spaces[spec["inputs"][0]][:-1]
        self.values[spec["name"]] = found = {}
        for parent, members in self.siblings(spec):
            total = ()
            for key, value in members:
                total = self.call(spec, lambda *args, total=total: call_fold(*args[:2], total, args[2]), key, [value])
                if is_failed(total) or total is DROP:
                    break
            if total is not DROP:
                found[parent] = total


KINDS = st.sampled_from(["map", "map", "map", "scatter", "gather", "group", "fold", "combine"])


@st.composite
def nodes(draw, name, spaces, chance):
    """One spec of a node over what is there, which is entered in `spaces`."""
    base, kind = draw(st.sampled_from(list(spaces)[-3:])), draw(KINDS)
    if not spaces[base] or (kind == "scatter" and len(spaces[base]) >= 4):
        kind = "map"
    inputs = [base]
    if kind in {"map", "scatter"} and draw(st.booleans()):
        chain = [spaces[base][:depth] for depth in range(len(spaces[base]) + 1)]
        inputs += draw(st.lists(st.sampled_from([n for n, s in spaces.items() if s in chain]), max_size=2))
    fail = chance if draw(st.booleans()) else 0
    options = {
        "map": {"settings": (draw(st.sampled_from([0, 0, 2, 3])), fail)},
        "scatter": {"settings": (draw(st.sampled_from([0, 1, 3, 6, 30])), fail)},
        "gather": {},
        "group": {"size": draw(st.sampled_from([1, 2, 3, 7]))},
        "fold": {"settings": (fail,), "combine": False},
        "combine": {"settings": (0,), "combine": True},
    }[kind]
    deepest = max((spaces[other] for other in inputs), key=len)
    grown = {"scatter": (*deepest, name), "group": (*deepest[:-1], name), "map": deepest}
    spaces[name] = grown.get(kind, deepest[:-1])
    options["pool"] = draw(st.sampled_from(["one", "two"]))
    options["stride"] = draw(st.sampled_from([1, 1, 2, 3, 5, 16, "auto"]))
    kind = "fold" if kind == "combine" else kind
    return {"name": name, "kind": kind, "inputs": list(dict.fromkeys(inputs)), **options}


@st.composite
def graphs(draw, most=7):
    """Specs of a random graph, and its targets."""
    chance, size = draw(st.sampled_from([0, 0, 3, 9])), draw(st.integers(0, 12))
    sources = range(draw(st.integers(1, 2)))
    specs = [{"name": f"source{i}", "kind": "source", "row": "row", "size": size} for i in sources]
    spaces = {spec["name"]: ("row",) for spec in specs}
    specs += [draw(nodes(f"node{i}", spaces, chance)) for i in range(draw(st.integers(1, most)))]
    used = {name for spec in specs for name in spec.get("inputs", ())}
    names = [spec["name"] for spec in specs if spec["kind"] != "source" or spec["name"] in used]
    return specs, draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))


def to_async(function, *, scatters):
    """Return a function as an async one that waits now and then."""

    async def awaited(*values):
        await asyncio.sleep(0.001 * (digest(values) % 3))
        return function(*values)

    async def streamed(*values):
        for child in function(*values):
            await asyncio.sleep(0)
            yield child

    return streamed if scatters else awaited


def build(specs):
    """Return the graph of some specs."""
    graph = Graph("random")
    for spec in specs:
        name, options = (
            spec["name"],
            {key: spec[key] for key in ("pool", "stride", "retries", "backoff", "spread", "on_error") if key in spec},
        )
        options |= {"name": name, "inputs": {"values": spec["inputs"]} if "inputs" in spec else None}
        options["checkpoint"] = spec.get("checkpoint", False)
        if spec["kind"] == "source":
            continue
        if spec["kind"] == "map":
            function = partial(call_map, name, *spec["settings"])
        elif spec["kind"] == "scatter":
            function = partial(call_scatter, name, *spec["settings"])
        elif spec["kind"] == "fold":
            function = partial(call_fold, name, *spec["settings"])
            options |= {"fold": tuple, "combine": combine if spec["combine"] else None}
        else:
            function = partial(digest, name)
            options["gather"] = True if spec["kind"] == "gather" else spec["size"]
        if spec.get("awaits"):
            function = to_async(function, scatters=spec["kind"] == "scatter")
        graph.add(function, **options)
    return graph


class SimulatedPool:
    """A pool whose workers finish in random order, and now and then die.

    Values are pickled on the way out and home, as if the workers were elsewhere. Of the items that a worker died at,
    those that are in nodes of `blamable` are noted in `culprits` as (node, key).
    """

    def __init__(self, name, workers, seed, places=2, deaths=0.0, blamable=()):
        self.name = name
        self.capabilities, self.notes = Capabilities(), ()
        self.workers = [f"{name}[{number}]" for number in range(workers)]
        self.concurrency, self.places = 1, places
        self.random = random.Random(seed)
        self.deaths, self.blamable, self.culprits = deaths, blamable, set()
        self.tasks = [deque() for _ in self.workers]
        self.lost_in_a_row = 0

    def open(self, program):
        self.program = program
        self.evaluators = [Evaluator(program, label) for label in self.workers]

    def submit(self, worker, task):
        assert len(self.tasks[worker]) < self.places, "a worker was given more than it has places for"
        self.tasks[worker].append(Task.from_wire(pickle.loads(pickle.dumps(task.to_wire()))))

    def collect(self):
        busy = [number for number, tasks in enumerate(self.tasks) if tasks]
        if not busy or self.random.random() < 0.1:
            return []
        worker = self.random.choice(busy)
        if self.random.random() < self.deaths and self.lost_in_a_row < 3:
            return [self.die(worker)]
        self.lost_in_a_row = 0
        outcome = self.evaluators[worker].run(self.tasks[worker].popleft())
        return [Outcome.from_wire(pickle.loads(pickle.dumps(outcome.to_wire())))]

    def die(self, worker):
        """Lose a worker, at an item or between two."""
        task, error = self.tasks[worker][0], WorkerLost(self.workers[worker], "simulated")
        if self.random.random() < 0.3:
            error = ItemTimeout(1.0, self.workers[worker], "replaced")
        calls = {call.node: call for call in self.program.stages[task.stage].calls}
        self.tasks[worker].clear()
        self.evaluators[worker] = Evaluator(self.program, self.workers[worker])
        node = self.random.choice(list(calls))
        position = self.random.randrange(task.count or 1)
        if node not in self.blamable or not self.is_called(task, position) or self.random.random() < 0.3:
            self.lost_in_a_row += 1
            return Lost(worker, error)
        keys = [(*parent, first + i) for parent, first, count in task.keys for i in range(count)] or [()]
        if not calls[node].may_retry(error, task.attempts.get(position, 0)):
            self.culprits.add((node, keys[position]))
        return Lost(worker, error, task.id, node, position)

    @staticmethod
    def is_called(task, position):
        """Return whether a worker would call a function for a position: nothing there has failed."""
        if (position, 0) in task.culprits:
            return False
        columns = [load_column(slices, lambda payload: payload.values()) for slices in task.columns]
        return position < task.count and not any(type(column[position]) is Failure for column in columns)

    def fileno(self):
        return None

    def deadline(self):
        return None

    def close(self):
        for evaluator in self.evaluators:
            evaluator.close()

    kill = close


class BlindPool(SimulatedPool):
    """A pool like a foreign executor: nobody knows at which item of a batch a worker died."""

    def __init__(self, name, workers, seed):
        super().__init__(name, workers, seed)
        self.capabilities = Capabilities(streams=False)

    def collect(self):
        news = []
        for outcome in super().collect():
            killed = any(isinstance(failure.error, Killed) for failure in outcome.failures)
            news.append(Lost(0, WorkerLost(self.name, "killed"), outcome.task, single=True) if killed else outcome)
        return news


def collect(running, pause):
    """Return what a run yields, by target, in its order."""
    entries = running.results()
    return collect_from(dawdle(entries) if pause else entries, [target.node for target in running.plan.targets])


def dawdle(entries):
    """Yield entries, now and then late."""
    for number, entry in enumerate(entries):
        if number % 7 == 3:
            time.sleep(0.012)
        yield entry


def collect_from(entries, targets):
    """Return entries by target, in their order."""
    found = {target: [] for target in targets}
    for entry in entries:
        if isinstance(entry, Failure):
            found[entry.target].append((entry.place, ("failed", entry.node, entry.key)))
        else:
            found[entry.node].append((entry.key, entry.value))
    return found


def expected(naive, targets):
    return {target: sorted(naive.values[target].items()) for target in targets}


def needed(specs, targets):
    """Return the names of the targets and of everything that they depend on."""
    found = set(targets)
    for spec in reversed(specs):
        found |= set(spec.get("inputs", ())) if spec["name"] in found else set()
    return found


def gated_bound(specs, targets, admission):
    """Return how many items may be in the graph at once: admission and a chunk for each task that bears items."""
    groups = sum(spec["kind"] == "group" or spec.get("combine", False) * 2 for spec in specs)
    births = sum(spec["kind"] in {"source", "scatter"} for spec in specs)
    return (admission + births * max(1, admission // 2)) * (1 + groups)


def start(specs, targets, pools, **options):
    """Return a run of the graph of some specs."""
    used = {name for spec in specs for name in spec.get("inputs", ())} | set(targets)
    sources = {
        s["name"]: [digest(s["name"], i) for i in range(s["size"])]
        for s in specs
        if s["name"] in used and s["kind"] == "source"
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphWarning)
        try:
            return run(sources, graph=build(specs), targets=targets, pools=pools, **{"errors": "keep"} | options)
        except GraphError:
            raise UnsatisfiedAssumption from None


SOME = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
BOUNDS = st.fixed_dictionaries(
    {
        "admission": st.sampled_from([1, 1, 2, 5, 20, None]),
        "admission_bytes": st.sampled_from([None, None, 1, 30, 100, 1000]),
    }
)


@MANY
@given(graphs(), BOUNDS, st.integers(1, 4), st.integers(0, 10**6), st.booleans(), st.sampled_from([False] * 9 + [True]))
def test_ordered_equals_naive(case, bounds, workers, seed, fusion, pause):
    """Ordered results equal the naive evaluator's."""
    specs, targets = case
    pools = {name: SimulatedPool(name, workers, seed) for name in ("one", "two")}
    running = start(specs, targets, pools, **bounds, fusion=fusion)
    naive = Naive(specs)
    assert collect(running, pause) == expected(naive, targets)
    statistics = running.statistics()
    assert statistics.live == 0, "something was never forgotten"
    failures = [(failure.node, failure.key) for failure in running.failures]
    assert sorted(failures) == sorted(entry for entry in naive.failures if entry[0] in needed(specs, targets))
    if bounds["admission"] is not None and not running.plan.warnings:  # a late broadcast holds a group
        assert statistics.highest <= gated_bound(specs, targets, bounds["admission"])


def stop_after(running, most):
    """Yield what a run gives that is asked to stop after so many results."""
    for number, entry in enumerate(running.results()):
        yield entry
        if number + 1 == most:
            running.stop()


@MANY
@given(graphs(), BOUNDS, st.integers(1, 4), st.integers(0, 10**6), st.integers(1, 9), st.booleans())
def test_stopped_run_equals_a_short_one(case, bounds, workers, seed, most, ordered):
    """A run that is stopped gives what it would give if the inputs ended where they had been read to."""
    specs, targets = case
    pools = {name: SimulatedPool(name, workers, seed) for name in ("one", "two")}
    running = start(specs, targets, pools, **bounds, ordered=ordered)
    assume(sum(step.is_source for step in running.plan.steps) == 1)  # others are not read as far as this one
    found = collect_from(stop_after(running, most), targets)
    for spec in (spec for spec in specs if spec["kind"] == "source"):
        spec["size"] = running.statistics().pulled
    assert {name: sorted(entries) for name, entries in found.items()} == expected(Naive(specs), targets)
    assert running.statistics().live == 0


def take_to_the_end(running):
    """Return (target, key, value) of the results, and the (node, key) of the failure that ended them, if one did."""
    found = []
    try:
        for entry in running.results():
            if isinstance(entry, Failure):
                return found, (entry.node, entry.key)
            found.append((entry.node, entry.key, entry.value))
    except NodeError as error:
        return found, (error.node, error.key)
    return found, None


@MANY
@given(graphs(), BOUNDS, st.integers(1, 4), st.integers(0, 10**6), st.booleans())
def test_dropping_equals_naive(case, bounds, workers, seed, fusion):
    """Nodes that drop drop items; the failure of a scatter stays one of its parent."""
    specs, targets = case
    for spec in specs:
        if spec["kind"] != "source":
            spec["on_error"] = ["fail", "drop"][digest(seed, spec["name"]) % 2]
    pools = {name: SimulatedPool(name, workers, seed) for name in ("one", "two")}
    running = start(specs, targets, pools, **bounds, fusion=fusion)
    naive = Naive(specs)
    assert collect(running, pause=False) == expected(naive, targets)
    failures = [(failure.node, failure.key) for failure in running.failures]
    assert sorted(failures) == sorted(entry for entry in naive.failures if entry[0] in needed(specs, targets))


@MANY
@given(graphs(), BOUNDS, st.integers(1, 4), st.integers(0, 10**6), st.integers(0, 10**6), st.booleans())
def test_first_failure_in_order_is_raised(case, bounds, workers, seed, other, fusion):
    """With errors="raise" comes what comes with "keep", up to the first failure: whatever is done first, or dropped."""
    specs, targets = case
    for spec in specs:
        if spec["kind"] != "source":
            spec["on_error"] = ["fail", "fail", "drop", heal][digest(seed, spec["name"]) % 4]
    ends = []
    for errors, chance in (("keep", seed), ("raise", other)):
        pools = {name: SimulatedPool(name, workers, chance) for name in ("one", "two")}
        ends.append(take_to_the_end(start(specs, targets, pools, **bounds, fusion=fusion, errors=errors)))
    assert ends[0] == ends[1]


@MANY
@given(graphs(), BOUNDS, st.integers(1, 4), st.integers(0, 10**6), st.booleans())
def test_unordered_is_the_same_set(case, bounds, workers, seed, fusion):
    specs, targets = case
    pools = {name: SimulatedPool(name, workers, seed) for name in ("one", "two")}
    found = collect(start(specs, targets, pools, **bounds, fusion=fusion, ordered=False), pause=False)
    assert {target: sorted(entries) for target, entries in found.items()} == expected(Naive(specs), targets)


@MANY
@given(graphs(), BOUNDS, st.integers(1, 4), st.integers(0, 10**6), st.booleans(), st.integers(1, 3))
def test_loss_costs_one_item(case, bounds, workers, seed, fusion, places):
    """Lost workers cost only the item they were at."""
    specs, targets = case
    blamable = [
        spec["name"] for spec in specs if spec["kind"] == "map" or (spec["kind"] == "fold" and not spec["combine"])
    ]
    pools = {name: SimulatedPool(name, workers, seed, places, 0.1, blamable) for name in ("one", "two")}
    found = collect(start(specs, targets, pools, **bounds, fusion=fusion), pause=False)
    assert found == expected(Naive(specs, pools["one"].culprits | pools["two"].culprits), targets)


def with_retries(specs, seed):
    """Return the specs, and how often each node that can be is retried; retried nodes are told so."""
    chosen = {}
    for spec in specs:
        if spec["kind"] in {"map", "scatter"} and digest(seed, spec["name"]) % 2:
            chosen[spec["name"]] = 1 + digest(seed, spec["name"], "retries") % 3
            spec["retries"], spec["backoff"] = chosen[spec["name"]], 0
    return chosen


@MANY
@given(graphs(), BOUNDS, st.integers(1, 4), st.integers(0, 10**6), st.booleans())
def test_retries_leave_no_trace(case, bounds, workers, seed, fusion):
    """Items that stumble and are retried come out as if nothing had been."""
    specs, targets = case
    naive = Naive(specs)
    retries = with_retries(specs, seed)
    pools = {name: SimulatedPool(name, workers, seed) for name in ("one", "two")}
    with TROUBLE.stir(retries):
        running = start(specs, targets, pools, **bounds, fusion=fusion)
        assert collect(running, pause=False) == expected(naive, targets)
    assert running.statistics().live == 0
    for failure in running.failures:
        assert failure.attempts == 1 + retries.get(failure.node, 0)


@MANY
@given(graphs(), BOUNDS, st.integers(1, 4), st.integers(0, 10**6), st.booleans(), st.integers(1, 3))
def test_lost_items_are_retried(case, bounds, workers, seed, fusion, places):
    """Items whose worker is lost are retried."""
    specs, targets = case
    with_retries(specs, seed)
    blamable = [spec["name"] for spec in specs if spec["kind"] == "map"]
    pools = {name: SimulatedPool(name, workers, seed, places, 0.2, blamable) for name in ("one", "two")}
    found = collect(start(specs, targets, pools, **bounds, fusion=fusion), pause=False)
    assert found == expected(Naive(specs, pools["one"].culprits | pools["two"].culprits), targets)


@MANY
@given(graphs(), st.integers(1, 4), st.integers(0, 10**6))
def test_culprit_found_without_report(case, workers, seed):
    """The culprit is found where no worker says what it is at."""
    specs, targets = case
    pools = {name: BlindPool(name, workers, seed) for name in ("one", "two")}
    with TROUBLE.stir(kills=True):
        naive = Naive(specs)
        running = start(specs, targets, pools, admission=10**6, fusion=False)
        assert collect(running, pause=False) == expected(naive, targets)
    assert running.statistics().live == 0


REAL = st.sampled_from(["inline", "threads:2", "processes:2"])


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs(), BOUNDS, REAL, REAL, st.booleans())
def test_real_pools_agree(case, bounds, one, two, fusion):
    """Real pools give the same."""
    specs, targets = case
    running = start(specs, targets, {"one": one, "two": two}, **bounds, fusion=fusion)
    assert collect(running, pause=False) == expected(Naive(specs), targets)


AWAITING = st.sampled_from(["asyncio", "asyncio:1", "asyncio:3", "inline", "threads:2"])


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs(), BOUNDS, AWAITING, AWAITING, st.integers(0, 10**6), st.booleans())
def test_async_nodes_agree(case, bounds, one, two, seed, fusion):
    """Async nodes give the same."""
    specs, targets = case
    naive = Naive(specs)
    for spec in specs:
        spec["awaits"] = digest(seed, spec["name"]) % 4 > 0
    retries = with_retries(specs, seed)
    with TROUBLE.stir(retries):
        running = start(specs, targets, {"one": one, "two": two}, **bounds, fusion=fusion)
        assert collect(running, pause=False) == expected(naive, targets)
    assert running.statistics().live == 0


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs(), BOUNDS)
def test_ranks_agree(case, bounds):
    """Ranks give the same."""
    specs, targets = case
    running = start(specs, targets, {"one": "mpi:2", "two": "threads:2"}, **bounds)
    assert collect(running, pause=False) == expected(Naive(specs), targets)


@st.composite
def kept_graphs(draw):
    """Specs of a random graph of which some nodes are checkpoints, and its targets."""
    specs, targets = draw(graphs())
    return [spec | {"checkpoint": draw(st.sampled_from([False, False, True]))} for spec in specs], targets


def interrupt(running, count):
    """Take some results of a run and end it; return whether it came to its end before."""
    entries = running.results()
    for _ in range(count):
        if next(entries, None) is None:
            return True
    running.cancel()
    return False


def tear(folder, share, seed):
    """Take some rows out of a journal, as if they had never been written."""
    chance = random.Random(seed)
    with closing(sqlite3.connect(folder / "journal.sqlite")) as connection, connection:
        for table in ("results", "counts", "states", "rows", "payloads"):
            for (number,) in connection.execute(f"SELECT rowid FROM {table}").fetchall():
                if chance.random() < share:
                    connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (number,))


STOPS = st.lists(st.integers(1, 30), min_size=1, max_size=3)


@settings(MANY, max_examples=int(os.environ.get("RESUMED_GRAPHS", "25")))
@given(
    kept_graphs(), BOUNDS, st.integers(1, 4), st.integers(0, 10**6), st.booleans(), STOPS,
    st.sampled_from([0, 0, 0, 0.1, 0.6]),
)  # fmt: skip
def test_interrupted_run_goes_on(case, bounds, workers, seed, fusion, stops, torn):
    """A run that was interrupted goes on to the same end."""
    specs, targets = case
    naive = Naive(specs)
    CALLS.clear()
    Naive(specs)
    once, names = Counter(CALLS), {spec["name"] for spec in specs if spec["checkpoint"]} | set(targets)
    CALLS.clear()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        for number, stop in enumerate([*stops, 0]):
            pools = {name: SimulatedPool(name, workers, seed + number) for name in ("one", "two")}
            options = {**bounds, "fusion": fusion, "journal": folder, "resume": True}
            running = start(specs, targets, pools, **options)
            if stop:
                interrupt(running, stop)
                tear(folder, torn, seed)
        assert collect(running, pause=False) == expected(naive, targets)
    assert running.statistics().live == 0
    failures = [(failure.node, failure.key) for failure in running.failures]
    assert sorted(failures) == sorted(entry for entry in naive.failures if entry[0] in needed(specs, targets))
    if not torn:
        twice = {call for call, count in CALLS.items() if count > once[call]}
        assert not {call for call in twice if call[0] in names}


@settings(MANY, max_examples=int(os.environ.get("RESUMED_GRAPHS", "25")))
@given(kept_graphs(), BOUNDS, st.integers(0, 10**6), st.booleans(), st.sampled_from([None, 1, 5, 20]))
def test_failed_items_tried_again(case, bounds, seed, fusion, stop):
    """Failed items are tried again with all that came of them."""
    specs, targets = case
    with tempfile.TemporaryDirectory() as place:
        keeping = JournalOptions(folder=Path(place) / "run", resume=True)
        pools = {name: SimulatedPool(name, 2, seed) for name in ("one", "two")}
        running = start(specs, targets, pools, **bounds, fusion=fusion, journal=keeping)
        assert stop is not None or collect(running, pause=False) == expected(Naive(specs), targets)
        if stop is not None:
            interrupt(running, stop)
        with TROUBLE.heal():
            again = replace(keeping, retry_failed=True)
            pools = {name: SimulatedPool(name, 2, seed + 1) for name in ("one", "two")}
            running = start(specs, targets, pools, **bounds, fusion=fusion, journal=again)
            assert collect(running, pause=False) == expected(Naive(specs), targets)
        assert running.failures == []


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs(), st.sampled_from(["processes:2", "mpi:2"]))
def test_crash_costs_one_item(case, pool):
    """Real crashes cost only the item they were at."""
    specs, targets = case
    with TROUBLE.stir(kills=True):
        running = start(specs, targets, {"one": pool, "two": "processes:1"}, admission=20)
        assert collect(running, pause=False) == expected(Naive(specs), targets)
    assert all(type(failure.error) is WorkerLost for failure in running.failures)


def close_scatters(specs, targets, journal):
    """Let the children of every scatter stay where they are made that can; return how many scatters that are."""
    closed = 0
    for spec in (spec for spec in specs if spec["kind"] == "scatter" and spec["name"] in needed(specs, targets)):
        spec["spread"] = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GraphWarning)
            try:
                plan = compile_plan(build(specs), targets, settings=PlanSettings(journal=journal))
            except GraphError:
                del spec["spread"]
            else:
                closed += 1
                assert len([inner for stage in plan.program.stages.values() for inner in stage.inner]) == closed
    return closed


def space_of(spec, spaces):
    """Return where the items of a node are, given where those of its inputs are."""
    above = max((spaces[name] for name in spec["inputs"]), key=len)
    grown = {"scatter": (*above, spec["name"]), "group": (*above[:-1], spec["name"]), "map": above}
    return grown.get(spec["kind"], above[:-1])


def draw_maps(draw, add, spaces, chance):
    """Add maps of the children of `kid`, some of which take something of their parents, too; return their names."""
    names = ["kid"]
    for number in range(draw(st.integers(1, 3))):
        chain = [spaces["kid"][:depth] for depth in range(len(spaces["kid"]) + 1)]
        others = draw(st.lists(st.sampled_from([n for n, space in spaces.items() if space in chain]), max_size=1))
        inputs = [draw(st.sampled_from(names[-2:])), *draw(st.sampled_from([[], ["side"], others]))]
        settings = (draw(st.sampled_from([0, 0, 2, 3])), draw(st.sampled_from([0, chance])))
        names.append(add(f"inner{number}", "map", *dict.fromkeys(inputs), settings=settings))
    return names


def draw_closers(draw, add, within, chance):
    """Add nodes that close the children, or go on from there; return their names."""
    names = []
    for number in range(draw(st.integers(1, 4))):
        below, above = draw(st.sampled_from(within[-2:])), draw(st.sampled_from(names or ["side"]))
        kind = draw(st.sampled_from(["gather", "fold", "after", "again"]))
        if kind == "gather":
            names.append(add(f"outer{number}", "gather", below))
        elif kind == "fold":
            settings = (draw(st.sampled_from([0, chance])),)
            names.append(add(f"outer{number}", "fold", below, settings=settings, combine=False))
        elif kind == "after":
            names.append(add(f"outer{number}", "map", above, settings=(draw(st.sampled_from([0, 3])), chance)))
        else:
            again = add(f"again{number}", "scatter", above, settings=(3, chance))
            names.append(add(f"outer{number}", "gather", again))
    return names


@st.composite
def closed_graphs(draw, journal=False):
    """Specs of a random graph in which the children of a scatter stay where they are made, and its targets."""
    specs, _ = draw(graphs(most=4))
    spaces = {spec["name"]: ("row",) for spec in specs if spec["kind"] == "source"}
    for spec in specs:
        if draw(st.integers(0, 5)):
            spec["pool"] = "one"
        if spec["kind"] != "source":
            spaces[spec["name"]] = space_of(spec, spaces)
    chance, stride = draw(st.sampled_from([0, 0, 3, 9])), draw(st.sampled_from([1, 3, "auto"]))

    def add(name, kind, *inputs, **options):
        specs.append({"name": name, "kind": kind, "inputs": list(inputs), "pool": "one", "stride": stride, **options})
        spaces[name] = space_of(specs[-1], spaces)
        return name

    top = draw(st.sampled_from([name for name, space in spaces.items() if 0 < len(space) < 3]))
    add("side", "map", top, settings=(draw(st.sampled_from([0, 2, 3])), chance))
    fan = draw(st.sampled_from([1, 3, 6, 30]))
    add("kid", "scatter", draw(st.sampled_from([top, top, "side"])), settings=(fan, chance))
    within = draw_maps(draw, add, spaces, chance)
    closers = draw_closers(draw, add, within, chance)
    others = draw(st.lists(st.sampled_from([name for name in spaces if name not in within]), max_size=1))
    targets = list(dict.fromkeys(closers + others))[-1 if journal else 0 :]
    if not close_scatters(specs, targets, journal):
        raise UnsatisfiedAssumption
    return specs, targets


def spread_again(specs):
    return [{key: value for key, value in spec.items() if key != "spread"} for spec in specs]


def count_closed(running):
    """Return how many items were done, failed and were dropped of the scatter and of what closes its children.

    Of others a run may come to its end before something is home for which nobody waits.
    """
    nodes = running.statistics().nodes.items()
    return {node: (each.done, each.failed, each.dropped) for node, each in nodes if node.startswith(("kid", "outer"))}


@SOME
@given(closed_graphs(), BOUNDS, st.integers(1, 4), st.integers(0, 10**6), st.booleans())
def test_staying_children_agree(case, bounds, workers, seed, fusion):
    """Children that stay where they are made come to the same."""
    specs, targets = case
    naive, counts = Naive(specs), []
    for some in (specs, spread_again(specs)):
        pools = {name: SimulatedPool(name, workers, seed) for name in ("one", "two")}
        running = start(some, targets, pools, **bounds, fusion=fusion)
        assert collect(running, pause=False) == expected(naive, targets)
        assert running.statistics().live == 0
        failures = [(failure.node, failure.key) for failure in running.failures]
        assert sorted(failures) == sorted(entry for entry in naive.failures if entry[0] in needed(specs, targets))
        counts.append(count_closed(running))
    assert counts[0] == counts[1]


def heal(failure):
    return digest("healed", failure.node, failure.key)


@SOME
@given(closed_graphs(), BOUNDS, st.integers(1, 4), st.integers(0, 10**6))
def test_staying_failures_agree(case, bounds, workers, seed):
    """Failures of children that stay are dropped and healed as of others."""
    specs, targets = case
    for spec in specs:
        if spec["kind"] != "source":
            spec["on_error"] = ["fail", "drop", heal][digest(seed, spec["name"]) % 3]
    found = []
    for some in (specs, spread_again(specs)):
        pools = {name: SimulatedPool(name, workers, seed) for name in ("one", "two")}
        running = start(some, targets, pools, **bounds)
        values = collect(running, pause=False)
        failures = sorted((failure.node, failure.key, failure.input) for failure in running.failures)
        found.append((values, failures, count_closed(running)))
    assert found[0] == found[1]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(closed_graphs(), BOUNDS, st.sampled_from(["inline", "threads:2", "processes:2", "asyncio", "mpi:2"]))
def test_staying_on_every_pool(case, bounds, pool):
    """Children stay where they are made on every pool."""
    specs, targets = case
    running = start(specs, targets, {"one": pool, "two": "threads:2"}, **bounds)
    assert collect(running, pause=False) == expected(Naive(specs), targets)


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(closed_graphs(), st.sampled_from(["processes:2", "mpi:2"]))
def test_crash_costs_one_child(case, pool):
    """Real crashes cost only the child they were at."""
    specs, targets = case
    with TROUBLE.stir(kills=True):
        running = start(specs, targets, {"one": pool, "two": "processes:1"}, admission=20)
        assert collect(running, pause=False) == expected(Naive(specs), targets)
    assert all(type(failure.error) is WorkerLost for failure in running.failures)


@settings(MANY, max_examples=int(os.environ.get("RESUMED_GRAPHS", "25")))
@given(closed_graphs(journal=True), BOUNDS, st.integers(1, 4), st.integers(0, 10**6), STOPS)
def test_staying_run_goes_on(case, bounds, workers, seed, stops):
    """A run whose children stay goes on after an interruption."""
    specs, targets = case
    naive = Naive(specs)
    with tempfile.TemporaryDirectory() as place:
        for number, stop in enumerate([*stops, 0]):
            pools = {name: SimulatedPool(name, workers, seed + number) for name in ("one", "two")}
            running = start(specs, targets, pools, **bounds, journal=Path(place) / "run", resume=True)
            if stop:
                interrupt(running, stop)
        assert collect(running, pause=False) == expected(naive, targets)
    failures = [(failure.node, failure.key) for failure in running.failures]
    assert sorted(failures) == sorted(entry for entry in naive.failures if entry[0] in needed(specs, targets))


def test_blind_loss_costs_all_children():
    """An item fails with all its children where no worker says at which it is."""
    means = {"pool": "one", "stride": 4}
    specs = [
        {"name": "source0", "kind": "source", "row": "row", "size": 12},
        {"name": "kid", "kind": "scatter", "inputs": ["source0"], "settings": (6, 0), "spread": False, **means},
        {"name": "inner", "kind": "map", "inputs": ["kid"], "settings": (0, 7), **means},
        {"name": "outer", "kind": "gather", "inputs": ["inner"], **means},
    ]
    pools = {"one": BlindPool("one", 2, 0)}
    with TROUBLE.stir(kills=True):
        naive = Naive(specs)
        found = collect(start(specs, ["outer"], pools, admission=10**6), pause=False)
    killed = {key[:1] for _, key in naive.failures}
    assert 0 < len(killed) < 12
    wanted = {key: ("failed", "kid", key) if key in killed else value for key, value in naive.values["outer"].items()}
    assert found == {"outer": sorted(wanted.items())}
