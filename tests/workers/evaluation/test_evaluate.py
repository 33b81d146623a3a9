"""The evaluator: every kind of task, and what becomes of items that fail, are dropped or cannot leave."""

import time
import weakref

import pytest

import papympi
from papympi import Graph
from papympi.errors import ShippingError, StateError, WorkerLost
from papympi.model.item import DROP, Failure
from papympi.plan.program import Argument, Call, Program, ResourceSpec, Stage
from papympi.transport.bitmap import FULL
from papympi.transport.payload import Payload
from papympi.transport.task import Kind, Task
from papympi.workers.evaluation.evaluate import Evaluator
from papympi.workers.evaluation.programs import StartedPrograms
from papympi.workers.evaluation.progress import COUNT, INDEX, NODE, NOTHING


def call(function, *columns, **options):
    """A call of a function on columns; a resource may stand among them."""
    arguments = tuple(Argument(None, resource=c) if isinstance(c, ResourceSpec) else Argument(c) for c in columns)
    return Call(options.pop("node", function.__name__), function, arguments, **options)


def evaluator(*calls, kind="map", inputs=1, outputs=None, factory=None, record=None, **options):
    stage = Stage(kind, inputs, calls, outputs or (inputs + len(calls) - 1,), factory)
    return Evaluator(Program({0: stage}), "worker 0", record, **options)


def task(*columns, kind=Kind.CALL, keys=None, **fields):
    """A task over columns that are lists of values, or slices."""
    count = fields.pop("count", None)
    slices = []
    for column in columns:
        if column and isinstance(column[0], tuple) and isinstance(column[0][0], (Payload, list)):
            slices.append(column)
        else:
            slices.append([(Payload(list(column)), 0, len(column))])
            count = len(column)
    count = count or 0
    return Task(1, kind, 0, count, columns=slices, keys=keys or [((5,), 0, count)], **fields)


def results(outcome, output=0):
    found = outcome.outputs[output]
    values = [value for payload in found.payloads for value in payload.values()]
    return [value if found.valid >> i & 1 else DROP for i, value in enumerate(values)]


def told(outcome):
    """The results with failures as (node, key), and the failures that were born."""
    values = [(v.node, v.key) if isinstance(v, Failure) else v for v in results(outcome)]
    return values, [(failure.node, failure.key) for failure in outcome.failures]


def add(x, y):
    return x + y


def invert(x):
    return 1 / x


def keep_even(x):
    return DROP if x % 2 else x


def fail_with(error):
    raise error


class TestCalls:
    def test_a_diamond(self):
        worker = evaluator(call(invert, 0), call(keep_even, 0), call(add, 1, 2), outputs=(1, 3))
        outcome = worker.run(task([2, 1, 0, 4]))
        assert results(outcome, 0)[0] == 0.5
        assert told(outcome)[1] == [("invert", (5, 2))]
        found = results(outcome, 1)
        assert found[:2] == [2.5, DROP]
        assert found[2].node == "invert"
        assert found[3] == 4.25
        assert outcome.outputs[1].valid == 0b1101
        assert outcome.outputs[1].failed == 0b0100
        assert outcome.calls == [4, 4, 2]

    def test_holes_are_never_called(self):
        outcome = evaluator(call(invert, 0)).run(task([1, None, 2], valid=0b101))
        assert results(outcome) == [1.0, DROP, 0.5]
        assert results(outcome)[1] is DROP
        assert outcome.outputs[0].payloads[0].values()[1] is None
        assert outcome.outputs[0].valid == 0b101

    def test_columns_of_every_kind(self):
        """Slices, broadcasts and gathered columns."""
        payload = Payload([1, 2, 3, 4, 5])
        columns = [
            [(payload, 1, 3), (payload, 4, 5)],
            [(payload, 0, 1, 2), (payload, 3, 4, 1)],
            [([2, 2, 4], [(payload, 0, 3, 0b101), (payload, 3, 4, FULL)])],
        ]
        gather = call(lambda x, y, z: (x, y, z), 0, 1, 2, node="gather")
        outcome = evaluator(gather, inputs=3).run(task(*columns, count=3))
        assert results(outcome) == [(2, 1, [1]), (3, 1, []), (5, 4, [3, 4])]

    def test_keywords_in_order(self):
        arguments = (Argument(1), Argument(0, keyword="low"), Argument(2, keyword="high"))
        clip = Call("clip", lambda x, *, low, high: (x, low, high), arguments)
        outcome = evaluator(clip, inputs=3).run(task([1], [2], [3]))
        assert results(outcome) == [(2, 1, 3)]

    def test_dropped_beats_failed(self):
        """A received failure passes, and dropped beats failed."""
        first, second = Failure("a", (1,), KeyError()), Failure("b", (2,), KeyError())
        columns = [[first, 1, first, 4], [second, second, 3, 5]]
        outcome = evaluator(call(add, 1, 0), inputs=2).run(task(*columns, valid=0b1011))
        assert told(outcome) == ([("b", (2,)), ("b", (2,)), DROP, 9], [])
        first, second = Failure("a", (5, 1), KeyError()), Failure("b", (5, 2), KeyError())
        columns = [[first, 1, first, 4], [second, second, 3, 5]]
        outcome = evaluator(call(add, 0, 1, on_error="drop"), inputs=2).run(task(*columns))
        assert told(outcome) == ([DROP, DROP, DROP, 9], [])

    def test_parents_failure_is_not_dropped(self):
        """A failure whose key is shorter than the items' is their parent's, and passes a node that drops."""
        outcome = evaluator(call(invert, 0, on_error="drop")).run(task([Failure("a", (5,), KeyError()), 2]))
        assert told(outcome) == ([("a", (5,)), 0.5], [])

    def test_gathered_failures(self):
        failure = Failure("a", (1,), KeyError())
        column = [([2, 3], [(Payload([1, failure, 3]), 0, 3, FULL)])]
        strict, lenient = call(sum, 0), call(sum, 0, skip_failed=True)
        assert told(evaluator(strict).run(task(column, count=2))) == ([("a", (1,)), 3], [])
        assert told(evaluator(lenient).run(task(column, count=2))) == ([("a", (1,)), 3], [])  # it is the parents'
        column = [([2, 3], [(Payload([1, Failure("a", (5, 1), KeyError()), 3]), 0, 3, FULL)])]
        assert told(evaluator(lenient).run(task(column, count=2))) == ([1, 3], [])

    def test_gathered_lists_not_shared(self):
        """Calls of one stage do not share gathered lists."""

        def spoil(values):
            values.clear()
            return 0

        column = [([2], [(Payload([1, 2]), 0, 2, FULL)])]
        assert results(evaluator(call(spoil, 0), call(sum, 0)).run(task(column, count=1))) == [3]

    @pytest.mark.parametrize(
        "error",
        [ValueError("x"), SystemExit(3), KeyboardInterrupt(), StopIteration(), GeneratorExit(), BaseException("odd")],
        ids=lambda error: type(error).__name__,
    )
    def test_whatever_is_raised_fails(self, error):
        """Whatever is raised is a failure."""

        def fail_at_two(x):
            if x == 2:
                raise error
            return x

        outcome = evaluator(call(fail_at_two, 0)).run(task([1, 2, 3]))
        assert told(outcome) == ([1, ("fail_at_two", (5, 1)), 3], [("fail_at_two", (5, 1))])
        failure = outcome.failures[0]
        assert failure.error is error
        assert (failure.input, failure.worker, failure.attempts) == ("2", "worker 0", 1)
        assert "fail_at_two" in failure.traceback
        assert "papympi/workers" not in failure.traceback
        assert error.__traceback__ is None

    def test_every_item_may_fail(self):
        outcome = evaluator(call(invert, 0)).run(task([0] * 50))
        assert [failure.key for failure in outcome.failures] == [(5, i) for i in range(50)]
        assert outcome.outputs[0].failed == (1 << 50) - 1

    def test_described_within_bounds(self):
        """Inputs are described within bounds."""

        class Loud:
            def __repr__(self):
                raise RuntimeError("no repr")

        columns = [["x" * 100_000], [Loud()], [list(range(100_000))]]
        boom = call(lambda a, b, c: fail_with(ValueError()), 0, 1, 2, node="boom")
        (failure,) = evaluator(boom, inputs=3).run(task(*columns)).failures
        assert len(failure.input) < 1000
        assert "Loud" in failure.input

    def test_on_error_drops_or_heals(self):
        assert told(evaluator(call(invert, 0, on_error="drop")).run(task([1, 0]))) == ([1, DROP], [("invert", (5, 1))])
        heal = call(invert, 0, on_error=lambda failure: str(failure.error))
        assert told(evaluator(heal).run(task([1, 0]))) == ([1, "division by zero"], [("invert", (5, 1))])
        stays = call(invert, 0, on_error=lambda failure: failure)
        assert told(evaluator(stays).run(task([0]))) == ([("invert", (5, 0))], [("invert", (5, 0))])
        drop = call(invert, 0, on_error=lambda failure: DROP)
        assert told(evaluator(drop).run(task([0]))) == ([DROP], [("invert", (5, 0))])
        worse = call(invert, 0, on_error=lambda failure: fail_with(KeyError("worse")))
        outcome = evaluator(worse).run(task([0]))
        assert told(outcome) == ([("invert", (5, 0))], [("invert", (5, 0))])
        assert isinstance(outcome.failures[0].error, KeyError)

    def test_exceptions_and_failures(self):
        """An exception object is a value, and a returned failure is one."""
        outcome = evaluator(call(ValueError, 0, node="make")).run(task([1]))
        assert isinstance(results(outcome)[0], ValueError)
        assert outcome.failures == []
        forged = Failure("elsewhere", (), KeyError())
        outcome = evaluator(call(lambda x: forged, 0, node="make")).run(task([1]))
        assert told(outcome) == ([("make", (5, 0))], [("make", (5, 0))])

    def test_outputs_are_cut(self):
        outcome = evaluator(call(abs, 0)).run(task(list(range(10)), max_payload=4))
        assert [payload.count for payload in outcome.outputs[0].payloads] == [4, 4, 2]

    def test_culprits_are_not_called(self):
        called = []
        failure = Failure("note", (5, 1), WorkerLost("w", "SIGSEGV"))

        def note(x):
            called.append(x)
            return x

        worker = evaluator(call(abs, 0), call(note, 1), call(abs, 2))
        outcome = worker.run(task([1, 2, 3], culprits={(1, 0): failure}))
        assert told(outcome) == ([1, ("note", (5, 1)), 3], [("note", (5, 1))])
        assert called == [1, 3]
        lenient = evaluator(call(note, 0, on_error="drop"))
        assert results(lenient.run(task([1, 2, 3], culprits={(1, 0): failure}))) == [1, DROP, 3]

    def test_unloadable_fails_its_calls(self):
        """A value that could not come fails the calls that need it."""

        class Fragile:
            def __reduce__(self):
                return fail_with, (OSError("gone"),)

        import pickle

        bad = pickle.loads(pickle.dumps(Payload([Fragile(), Fragile()])))
        column = [(Payload([1]), 0, 1), (bad, 0, 2)]
        outcome = evaluator(call(abs, 0)).run(task(column, count=3))
        assert told(outcome) == ([1, ("abs", (5, 1)), ("abs", (5, 2))], [("abs", (5, 1)), ("abs", (5, 2))])

    def test_unsendable_fails_alone(self):
        """A result that cannot leave fails alone."""

        def make(x):
            return (i for i in "x") if x == 1 else x

        outcome = evaluator(call(make, 0)).run(task([0, 1, 2], max_payload=2))
        assert told(outcome) == ([0, ("make", (5, 1)), 2], [("make", (5, 1))])
        assert isinstance(outcome.failures[0].error, ShippingError)
        assert evaluator(call(make, 0), encodes=False).run(task([1])).failures == []
        inner = evaluator(call(make, 0), call(list, 1), outputs=(2,))
        assert results(inner.run(task([1]))) == [["x"]]


class TestVectorized:
    def test_lists_in_lists_out(self):
        seen = []

        def vector(xs, ys):
            seen.append((xs, ys))
            return [x + y for x, y in zip(xs, ys, strict=True)]

        failure = Failure("a", (1,), KeyError())
        columns = [[1, 2, None, failure], [10, 20, 30, 40]]
        outcome = evaluator(call(vector, 0, 1, vectorized=True), inputs=2).run(task(*columns, valid=0b1011))
        assert told(outcome) == ([11, 22, DROP, ("a", (1,))], [])
        assert seen == [([1, 2], [10, 20])]
        assert outcome.calls == [2]

    def test_nothing_called_for_nothing(self):
        vector = call(lambda xs: fail_with(ValueError()), 0, vectorized=True, node="vector")
        assert evaluator(vector).run(task([None], valid=0)).failures == []

    def test_wrong_count_fails_all(self):
        """A wrong number of results fails them all."""
        outcome = evaluator(call(lambda xs: xs[:1], 0, vectorized=True, node="vector")).run(task([1, 2, 3]))
        assert [failure.key for failure in outcome.failures] == [(5, 0), (5, 1), (5, 2)]
        assert "for 3 it returned 1" in str(outcome.failures[0].error)

    def test_exception_or_no_list(self):
        """An exception fails them all, and no list is one."""
        for function in (lambda xs: fail_with(KeyError()), lambda xs: None):
            assert len(evaluator(call(function, 0, vectorized=True, node="v")).run(task([1, 2])).failures) == 2

    def test_changed_list_is_its_own(self):
        """Changing the list changes nothing else."""
        worker = evaluator(call(lambda xs: [xs.pop() for _ in range(2)], 0, vectorized=True, node="v"), call(abs, 0))
        assert results(worker.run(task([1, 2]))) == [1, 2]


def count_up(n):
    for i in range(n):
        if i == 6:
            raise ValueError("six")
        yield DROP if i == 1 else i


def start(values, **fields):
    return task(values, kind=Kind.START, generator=3, **fields)


def advance(**fields):
    return Task(2, Kind.ADVANCE, 0, generator=3, **fields)


class TestScatter:
    def run_all(self, worker, first, chunk):
        """Advance a generator to its end; return the children, by parent, and the outcomes."""
        outcomes = [worker.run(first)]
        while not outcomes[-1].finished:
            outcomes.append(worker.run(advance(chunk=chunk)))
        children = [child for outcome in outcomes for child in told(outcome)[0]]
        return children, outcomes

    @pytest.mark.parametrize("chunk", [1, 2, 3, 100])
    def test_chunks_do_not_matter(self, chunk):
        failure = Failure("a", (9,), KeyError())
        worker = evaluator(call(count_up, 0), kind="scatter")
        first = start([3, 0, 9, None, failure, 7, 2, None], chunk=chunk, valid=0b01110111)
        children, outcomes = self.run_all(worker, first, chunk)
        failed = [0, DROP, 2, 3, 4, 5, ("count_up", (5, 5))]
        assert children == [0, DROP, 2, 0, DROP, 2, 3, 4, 5, ("count_up", (5, 2)), ("a", (9,)), *failed, 0, DROP]
        assert [f.key for outcome in outcomes for f in outcome.failures] == [(5, 2), (5, 5)]
        assert max(len(results(outcome)) for outcome in outcomes) <= chunk
        sizes, carried = [], 0
        for outcome in outcomes:
            *whole, last = [*outcome.counts, len(results(outcome)) - sum(outcome.counts)]
            for count in whole:
                sizes.append(carried + count)
                carried = 0
            carried += last
        assert sizes == [3, 0, 7, 0, 1, 7, 2, 0]
        assert sum(outcome.calls[0] for outcome in outcomes) == 19  # the failure that it was given is no call

    def test_drops_need_no_room(self):
        """Dropped parents need no room."""
        worker = evaluator(call(count_up, 0), kind="scatter")
        failure = Failure("a", (9,), KeyError())
        outcome = worker.run(start([failure, None, None], chunk=1, valid=0b001))
        assert (told(outcome)[0], outcome.counts, outcome.finished) == ([("a", (9,))], [1, 0, 0], True)

    def test_on_error(self):
        failure = Failure("a", (5, 9), KeyError())
        drops = evaluator(call(count_up, 0, on_error="drop"), kind="scatter")
        outcome = drops.run(start([7, failure, 1], chunk=99))
        assert told(outcome)[0] == [0, DROP, 2, 3, 4, 5, 0]
        assert (outcome.counts, len(outcome.failures)) == ([6, 0, 1], 1)
        heals = evaluator(call(count_up, 0, on_error=lambda failure: "healed"), kind="scatter")
        assert told(heals.run(start([7], chunk=99)))[0][-1] == "healed"

    def test_no_generator(self):
        """A function that is no generator."""
        outcome = evaluator(call(lambda n: None, 0, node="none"), kind="scatter").run(start([1], chunk=9))
        assert told(outcome) == ([("none", (5, 0))], [("none", (5, 0))])
        outcome = evaluator(call(lambda n: [n, n], 0, node="list"), kind="scatter").run(start([1], chunk=9))
        assert told(outcome) == ([1, 1], [])

    def test_discarded_is_closed(self):
        """Discarded and closed generators are closed."""
        closed = []

        def watch(n):
            try:
                yield from range(n)
            finally:
                closed.append(n)

        worker = evaluator(call(watch, 0), kind="scatter")
        worker.run(start([5], chunk=1))
        worker.run(Task(4, Kind.DISCARD, 0, generator=3))
        assert closed == [5]
        worker.run(Task(4, Kind.DISCARD, 0, generator=3))
        worker.run(start([6], chunk=1))
        worker.close()
        assert closed == [5, 6]
        with pytest.raises(StateError):
            worker.run(advance(chunk=1))

    def test_whole_ends_in_one_task(self):
        """Whole generators end in one task."""
        worker = evaluator(call(lambda n: iter(range(n)), 0, node="up"), kind="scatter")
        outcome = worker.run(start([3, 4, 5, 3], chunk=1, whole=4))
        values = told(outcome)[0]
        assert values == [*range(3), *range(4), *range(4), ("up", (5, 2)), *range(3)]
        assert (outcome.counts, outcome.finished) == ([3, 4, 5, 3], True)
        assert "inline, threads, processes, mpi" in str(outcome.failures[0].error)

    def test_delivered_are_skipped(self):
        """Delivered children are skipped."""
        worker = evaluator(call(count_up, 0), kind="scatter")
        outcome = worker.run(start([5, 2], chunk=2, skip=3))
        assert (told(outcome)[0], outcome.counts) == ([3, 4], [])
        outcome = worker.run(advance(chunk=9))
        assert (told(outcome)[0], outcome.counts) == ([0, DROP], [0, 2])
        outcome = worker.run(start([2, 1], chunk=9, skip=3))
        assert told(outcome)[0] == [("count_up", (5, 0)), 0]
        assert "not deterministic" in str(outcome.failures[0].error)

    def test_culprit_ends_its_parent(self):
        lost = Failure("count_up", (5, 0), WorkerLost("w", "SIGSEGV"))
        called = []

        def note(n):
            called.append(n)
            yield from range(n)

        worker = evaluator(call(note, 0, node="count_up"), kind="scatter")
        outcome = worker.run(start([5, 6, 2], chunk=99, culprits={(0, 0): lost, (1, 2): lost}))
        assert told(outcome)[0] == [("count_up", (5, 0)), 0, 1, ("count_up", (5, 0)), 0, 1]
        assert (called, outcome.counts) == ([6, 2], [1, 3, 2])
        assert len(outcome.failures) == 2
        outcome = worker.run(start([5], chunk=99, skip=2, culprits={(0, 3): lost}))
        assert told(outcome)[0] == [2, ("count_up", (5, 0))]

    def test_unsendable_child(self):
        """Children that cannot leave fail alone."""

        def make(n):
            yield 0
            yield (i for i in "x")
            yield 2

        worker = evaluator(call(make, 0), kind="scatter")
        outcome = worker.run(start([1, 1], chunk=4))
        outcome = worker.run(advance(chunk=4))
        assert told(outcome) == ([("make", (5, 1, 1)), 2], [("make", (5, 1, 1))])


def collect(total, x):
    if x == "bad":
        raise ValueError(x)
    return [*total, x]


def fold(values, **fields):
    return task(values, kind=Kind.FOLD, **fields)


class TestFold:
    def run_in_parts(self, worker, values, ends, size, **fields):
        """Fold values in tasks of `size`; return the results and the failures."""
        found, failures, state, start = [], [], None, 0
        marks = fields.pop("culprits", {})
        valid = fields.pop("valid", FULL)
        while start < len(values):
            stop = min(start + size, len(values))
            within = [end - start for end in ends if start < end <= stop or (end == start == 0)]
            outcome = worker.run(
                fold(
                    values[start:stop],
                    ends=within,
                    state=state,
                    valid=valid >> start & (1 << stop - start) - 1,
                    keys=[((5,), start, stop - start)],
                    culprits={(at - start, 0): f for at, f in marks.items() if start <= at < stop},
                )
            )
            values_, born = told(outcome)
            found, failures = found + values_, failures + born
            state, start = outcome.state, stop
        return found, failures

    @pytest.mark.parametrize("size", [1, 2, 3, 20])
    def test_parts_do_not_matter(self, size):
        failure = Failure("a", (5, 9), KeyError())
        values = [1, 2, 3, "bad", 5, 6, failure, 8, None, 10, 11]
        worker = evaluator(call(collect, 0), kind="fold", factory=list)
        found = self.run_in_parts(worker, values, [2, 5, 8, 10], size, valid=0b11011111111)
        assert found == ([[1, 2], ("collect", (5, 3)), ("a", (5, 9)), [10]], [("collect", (5, 3))])
        dropping = evaluator(call(collect, 0, on_error="drop"), kind="fold", factory=list)
        found = self.run_in_parts(dropping, values, [2, 5, 8, 10], size, valid=0b11011111111)
        assert found == ([[1, 2], DROP, [6, 8], [10]], [("collect", (5, 3))])
        healing = evaluator(call(collect, 0, on_error=lambda f: "healed"), kind="fold", factory=list)
        found = self.run_in_parts(healing, values, [2, 5, 8, 10], size, valid=0b11011111111)
        assert found == ([[1, 2], "healed", ("a", (5, 9)), [10]], [("collect", (5, 3))])
        lost = Failure("collect", (5, 1), WorkerLost("w", "SIGSEGV"))
        found = self.run_in_parts(worker, values[:5], [2, 5], size, culprits={1: lost})
        assert found[0][0] == ("collect", (5, 1))
        assert found[1] == [("collect", (5, 1)), ("collect", (5, 3))]

    def test_after_failure_uncalled(self):
        """What follows a failure is not called."""
        called = []
        worker = evaluator(call(lambda total, x: called.append(x), 0, node="note"), kind="fold", factory=list)
        worker.run(fold([1, Failure("a", (9,), KeyError()), 3, 4], ends=[3]))
        assert called == [1, 4]

    def test_empty_and_open_parents(self):
        worker = evaluator(call(collect, 0), kind="fold", factory=list)
        outcome = worker.run(fold([], ends=[0, 0]))
        assert (told(outcome)[0], outcome.state) == ([[], []], None)
        outcome = worker.run(fold([1], ends=[1]))
        assert outcome.state is None
        outcome = worker.run(fold([1], ends=[]))
        assert outcome.state.values() == [[1]]
        outcome = worker.run(fold([], ends=[0], state=outcome.state))
        assert told(outcome)[0] == [[1]]

    def test_a_result_may_be_dropped(self):
        worker = evaluator(call(lambda total, x: DROP, 0, node="none"), kind="fold", factory=list)
        assert told(worker.run(fold([1, 2], ends=[2])))[0] == [DROP]

    def test_a_factory_that_fails(self):
        worker = evaluator(call(collect, 0), kind="fold", factory=lambda: fail_with(OSError("none")))
        outcome = worker.run(fold([1, 2, 3], ends=[2]))
        assert told(outcome)[0] == [("collect", (5,))]
        assert len(outcome.failures) == 2

    def test_state_that_cannot_leave(self):
        worker = evaluator(call(lambda total, x: (i for i in "x"), 0, node="gen"), kind="fold", factory=list)
        outcome = worker.run(fold([1], ends=[]))
        (state,) = outcome.state.values()
        assert isinstance(state.error, ShippingError)
        assert outcome.failures == [state]
        outcome = worker.run(fold([1], ends=[1], keys=[((5, 6), 7, 1)]))
        assert told(outcome) == ([("gen", (5, 6))], [("gen", (5, 6))])


class TestResources:
    def test_made_once_and_taken_down(self):
        log = []

        def connect():
            log.append("made")
            yield 10
            log.append("closed")

        base = ResourceSpec("base", connect)
        plain = ResourceSpec("plain", lambda: log.append("plain") or 100)
        worker = evaluator(call(lambda x, b, p: x + b + p, 0, base, plain, node="use"))
        assert log == []
        assert results(worker.run(task([1, 2]))) == [111, 112]
        assert results(worker.run(task([3]))) == [113]
        assert log == ["made", "plain"]
        worker.close()
        worker.close()
        assert log == ["made", "plain", "closed"]

    def test_failed_is_not_tried_again(self):
        """One that fails is not tried again."""
        tries = []

        def connect():
            tries.append(1)
            raise ConnectionError("refused")

        worker = evaluator(call(add, 0, ResourceSpec("db", connect)))
        for _ in range(2):
            outcome = worker.run(task([1, 2]))
            assert [str(failure.error) for failure in outcome.failures] == ["refused"] * 2
        assert tries == [1]
        scatter = evaluator(call(add, 0, ResourceSpec("db", connect)), kind="scatter")
        assert told(scatter.run(start([1], chunk=3)))[0] == [("add", (5, 0))]
        folds = evaluator(call(add, 0, ResourceSpec("db", connect)), kind="fold", factory=int)
        assert len(folds.run(fold([1, 2], ends=[1, 2])).failures) == 2

    def test_in_every_kind(self):
        """In vectors, scatters and folds."""
        ten = ResourceSpec("ten", lambda: 10)
        vector = call(lambda xs, b: [x + b for x in xs], 0, ten, vectorized=True, node="v")
        assert results(evaluator(vector).run(task([1, 2]))) == [11, 12]
        scatter = evaluator(call(lambda n, b: iter([n, b]), 0, ten, node="s"), kind="scatter")
        assert results(scatter.run(start([1], chunk=9))) == [1, 10]
        folds = evaluator(call(lambda total, x, b: total + x * b, 0, ten, node="f"), kind="fold", factory=int)
        assert results(folds.run(fold([1, 2], ends=[2]))) == [30]

    def test_failed_teardown_is_passed(self):
        """A teardown that fails is passed over."""

        def connect():
            yield 1
            raise OSError("too late")

        worker = evaluator(call(add, 0, ResourceSpec("db", connect)))
        assert results(worker.run(task([1]))) == [2]
        worker.close()


class Slots:
    """Takes the place of the shared memory: writes down the positions that are stored."""

    def __init__(self, log):
        self.log = log
        self.kept = {}

    def __setitem__(self, slot, value):
        before, self.kept[slot] = self.kept.get(slot), value
        if slot == INDEX and NOTHING not in (before, value):
            self.log.append(value)

    def __getitem__(self, slot):
        return self.kept.get(slot, NOTHING)


class SharedProgressRecord:
    """Writes down what it is told."""

    def __init__(self):
        self.log = []
        self.slots = Slots(self.log)
        self.programs = StartedPrograms()

    def begin(self, task):
        self.log.append(("begin", task))

    def at(self, node, index, count=1):
        self.slots.kept |= {COUNT: count, NODE: node, INDEX: index}
        if index != NOTHING:
            self.log.append((node, index))

    def at_child(self, node, index, child):
        self.at(node, index)

    def done(self):
        self.log.append("done")


class TestCell:
    def test_calls(self):
        record = SharedProgressRecord()
        worker = evaluator(call(abs, 0), call(invert, 1), record=record)
        worker.run(task([1, None, 0, 3], valid=0b1101))
        assert record.log == [("begin", 1), (0, 0), 0, 2, 3, (1, 0), 0, 2, (1, 3), 3, "done"]

    def test_scatter_and_fold(self):
        record = SharedProgressRecord()
        evaluator(call(count_up, 0), kind="scatter", record=record).run(start([1, 1], chunk=9))
        assert record.log == [("begin", 1), (0, 0), (0, 1), "done"]
        record = SharedProgressRecord()
        evaluator(call(collect, 0), kind="fold", factory=list, record=record).run(fold([1, 2], ends=[]))
        assert record.log == [("begin", 1), (0, 0), 0, 1, "done"]

    def test_vectors(self):
        record = SharedProgressRecord()
        evaluator(call(list, 0, vectorized=True), record=record).run(task([None, 2], valid=0b10))
        assert record.log == [("begin", 1), (0, 1), "done"]


def test_seconds_are_told():
    outcome = evaluator(call(time.sleep, 0, node="sleep")).run(task([0.02]))
    assert outcome.seconds >= 0.02


ALIVE = weakref.WeakSet()


class Big:
    def __init__(self, most):
        ALIVE.add(self)
        self.most = max(most, len(ALIVE))


def grow(before):
    return Big(getattr(before, "most", 0))


@pytest.mark.parametrize("options", [{}, {"timeout": 60.0}], ids=["straight", "in time"])
def test_chain_holds_two_values(options):
    """A long chain in one stage holds two values of an item at once."""
    graph = Graph("chain")
    before = "x"
    for number in range(8):
        graph.add(grow, name=f"g{number}", inputs={"before": before}, pool="inline", stride=1, **options)
        before = f"g{number}"
    graph.add(lambda big: big.most, name="most", inputs={"big": before}, pool="inline", stride=1, **options)
    with papympi.run({"x": [0]}, graph=graph, pools={"inline": "inline"}) as running:
        assert list(running) == [2]
