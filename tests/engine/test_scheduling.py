"""Who works on what next: rules 8 and 9, what is lost with a worker, and when a pool is given up."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papympi.contracts import Capabilities
from papympi.engine.operators.protocol import Candidate, InFlightTask, TaskOperator
from papympi.engine.scheduling import MOST_BLAMELESS, TAKES_OLDEST, Scheduler, count_places
from papympi.errors import PoolError, WorkerLost
from papympi.plan.plan import Space, Step
from papympi.transport.task import Kind, Lost, Task

UNIT = Space(0, "unit")


class SlowPool:
    """A pool that brings nothing home; it notes what it was given."""

    capabilities = Capabilities()

    def __init__(self, workers=2, places=2, concurrency=1):
        self.name, self.places, self.concurrency = "pool", places, concurrency
        self.workers = [f"worker {number}" for number in range(workers)]
        self.sent = []

    def submit(self, worker, task):
        self.sent.append((worker, task.id))


@dataclass(eq=False, slots=True)
class Piece(InFlightTask):
    """A task of a `Pile`."""

    key: int


class Pile(TaskOperator):
    """An operator that offers the smallest of its keys, as a full batch or as a partial one."""

    def __init__(self, *keys, level=1, partial=False, pool="pool"):
        self.step = Step(level, "map", (f"node {level}",), [], [], UNIT, pool=pool, level=level)
        self.nodes, self.height, self.partial = [], -level, partial
        self.keys, self.taken, self.lost = list(keys), [], []

    def candidates(self):
        return [Candidate(int(self.partial), self.height, self, min(self.keys))] if self.keys else []

    def order(self, work):
        return (work.keys[0] if isinstance(work, Stand) else work,)

    def next_task(self, worker, work, number):
        keys = work.keys if isinstance(work, Stand) else self.keys
        (key,) = self.order(work)
        keys.remove(key)
        self.taken.append((key, worker.number))
        return Piece(self, worker, key), Task(number, Kind.CALL, 0)

    def take_back(self, task, lost):
        self.lost.append((task.key, lost is not None))
        self.keys.append(task.key)


class Stand:
    """Something that stands suspended on a worker, and goes on with one key after the other."""

    def __init__(self, pile, *keys):
        self.pile, self.keys, self.orphaned = pile, list(keys), False

    def candidate(self):
        return Candidate(0, self.pile.height, self.pile, self) if self.keys else None

    def orphan(self):
        self.orphaned = True


class Office:
    """A scheduler over some piles, and its pools."""

    def __init__(self, *piles, brief=(), pools=None, **options):
        self.pools = pools or {"pool": SlowPool(**options)}
        self.piles = piles
        self.scheduler = Scheduler(self.pools, piles, {pile.step for pile in brief})
        self.dispatch, self.land = self.scheduler.dispatch, self.scheduler.land

    @property
    def sent(self):
        """For each task by worker what it is of: (worker, level, key)."""
        tasks = self.scheduler.tasks
        found = [(worker, tasks[number]) for pool in self.pools.values() for worker, number in pool.sent]
        return [(worker, task.operator.step.level, task.key) for worker, task in found]

    def worker(self, number=0):
        """Return a worker's state; it is known from any task of its pool."""
        return self.scheduler._pools["pool"].workers[number]

    def work(self, count):
        """Dispatch to one worker and bring home what it has, so often; return (level, key) of each task."""
        done = []
        for _ in range(count):
            self.dispatch()
            ((number, task),) = self.scheduler.tasks.items()
            done.append((task.operator.step.level, task.key))
            self.land(number)
        return done

    def lose(self, worker=0, task=None, **known):
        self.scheduler.recover("pool", Lost(worker, WorkerLost("worker", "lost"), task, **known))


def test_idle_workers_go_first():
    """Nobody gets a second task while another has none."""
    office = Office(Pile(1, 2, 3), workers=2)
    assert office.dispatch()
    assert office.sent == [(0, 1, 1), (1, 1, 2), (0, 1, 3)]


def test_late_idle_goes_first():
    """That holds for one that has just come home, too."""
    pile = Pile(1, 2, 3, 4)
    office = Office(pile, workers=2)
    office.dispatch()
    office.land(1)
    office.land(3)
    pile.keys += [5]
    office.dispatch()
    assert pile.taken[-1] == (5, 0)


def test_nothing_ready_nothing_sent():
    office = Office(Pile())
    assert not office.dispatch()
    assert office.sent == []


def test_full_before_partial():
    """However deep the partial one is."""
    office = Office(Pile(1, level=9, partial=True), Pile(2, level=1), workers=1)
    assert office.work(2) == [(1, 2), (9, 1)]


def test_deepest_goes_first():
    office = Office(Pile(1, level=1), Pile(3, level=3), Pile(2, level=2), workers=1, places=1)
    assert office.work(3) == [(3, 3), (2, 2), (1, 1)]


def test_ties_go_by_key():
    office = Office(Pile(5, 1), Pile(2, 3), workers=1, places=1)
    assert [key for _, key in office.work(4)] == [1, 2, 3, 5]


def test_idle_takes_what_there_is():
    """A partial batch is better than none."""
    office = Office(Pile(1, 2, partial=True), workers=2)
    office.dispatch()
    assert office.sent == [(0, 1, 1), (1, 1, 2)]


def test_second_place_is_full():
    """What is partial now may be full when the worker has time for it."""
    full, partial = Pile(1), Pile(2, level=2, partial=True)
    office = Office(full, partial, workers=1)
    office.dispatch()
    assert partial.keys == [2]
    full.keys.append(3)
    office.dispatch()
    assert [key for _, _, key in office.sent] == [1, 3]


def test_eighth_takes_the_smallest():
    """Else a partial batch would wait behind endless full ones."""
    office = Office(Pile(*range(1, 99)), Pile(0, level=9, partial=True), workers=1, places=1)
    assert [key for _, key in office.work(TAKES_OLDEST)] == [1, 2, 3, 4, 5, 6, 7, 0]


def test_eighth_takes_the_shallow():
    """Else a scatter would wait behind endless deeper work."""
    office = Office(Pile(*range(10, 99), level=2), Pile(3, level=1), workers=1, places=1)
    levels = [level for level, _ in office.work(2 * TAKES_OLDEST)]
    assert levels.index(1) == TAKES_OLDEST - 1
    assert levels.count(1) == 1


def test_each_counts_its_own():
    full, partial = Pile(*range(1, 99)), Pile(0, partial=True)
    office = Office(full, partial, workers=2, places=1)
    for _ in range(TAKES_OLDEST - 1):
        office.dispatch()
        for number in list(office.scheduler.tasks):
            office.land(number)
    assert partial.keys == [0]
    office.dispatch()
    assert partial.taken == [(0, 0)]


def test_eighth_may_be_partial_behind():
    """In a second place, too, what was partial all along has its turn."""
    full, partial = Pile(*range(1, 99)), Pile(0, partial=True)
    office = Office(full, partial, workers=1, places=2)
    office.dispatch()
    for _ in range(TAKES_OLDEST):
        office.land(min(office.scheduler.tasks))
        office.dispatch()
    assert partial.taken == [(0, 0)]


def test_two_places_unless_brief():
    """Beyond one at work and one on its way a worker has only what is brief."""
    slow, brief = Pile(*range(10), level=1), Pile(*range(10, 20), level=2)
    office = Office(slow, brief, brief=[brief], workers=1, places=6)
    office.dispatch()
    assert [level for _, level, _ in office.sent] == [2] * 6
    office = Office(slow, workers=1, places=6)
    office.dispatch()
    assert len(office.sent) == 2


def test_concurrent_tasks_do_not_wait():
    """An executor is one worker at many tasks: so many are at work, and so many on their way."""
    pile = Pile(*range(99), partial=True)
    office = Office(pile, workers=1, places=12, concurrency=4)
    office.dispatch()
    assert len(office.sent) == 4
    pile.partial = False
    office.dispatch()
    assert len(office.sent) == 8


@pytest.mark.parametrize(("workers", "places"), [(2, 100), (4, 4)])
def test_loads_stay_even(workers, places):
    """Whether there are many workers with few places or few with many."""
    pile = Pile(*range(3 * workers))
    office = Office(pile, brief=[pile], workers=workers, places=places)
    office.dispatch()
    assert [len(office.worker(number).tasks) for number in range(workers)] == [3] * workers


def test_own_goes_to_its_worker():
    """What stands on a worker is offered to nobody else."""
    pile = Pile()
    office = Office(pile, workers=3)
    office.worker(1).hold(Stand(pile, 7))
    office.dispatch()
    assert office.sent == [(1, 1, 7)]


def test_own_is_chosen_like_others():
    """The deeper first, ties by key."""
    pile, deep = Pile(1, 4), Pile(9, level=2)
    office = Office(pile, deep, workers=1, places=1)
    office.worker().hold(Stand(pile, 2, 3))
    assert office.work(5) == [(2, 9), (1, 1), (1, 2), (1, 3), (1, 4)]


def test_own_waits_behind_another():
    """It takes a second place, as full batches do, but no third unless it is brief."""
    pile = Pile()
    for brief, count in ([], 2), ([pile], 3):
        office = Office(pile, brief=brief, workers=1, places=6)
        for key in range(3):
            office.worker().hold(Stand(pile, key))
        office.dispatch()
        assert len(office.sent) == count


def test_pools_get_their_own():
    one, two = Pile(1, 2, pool="one"), Pile(3, pool="two")
    pools = {"one": SlowPool(1), "two": SlowPool(1)}
    Office(one, two, pools=pools).dispatch()
    assert [len(pool.sent) for pool in pools.values()] == [2, 1]


def test_landed_task_makes_room():
    pile = Pile(1, 2)
    office = Office(pile, workers=1, places=1)
    office.dispatch()
    assert not office.dispatch()
    assert office.land(1).key == 1
    assert office.scheduler.tasks == {}
    assert office.dispatch()
    assert list(office.worker().tasks) == [2]


def test_force_goes_to_the_holder():
    """Although nothing fits, and whatever else there is; without a holder anybody does it."""
    pile = Pile()
    office = Office(pile, workers=3)
    office.scheduler.force(Candidate(0, 0, pile, Stand(pile, 5)), office.worker(2))
    office.scheduler.force(Candidate(0, 0, pile, Stand(pile, 6)), None)
    assert [(worker, key) for worker, _, key in office.sent] == [(2, 5), (0, 6)]


def test_lost_gives_all_back():
    """The task that it was at is told why; what waited behind goes back untouched, and what stood there is free."""
    pile = Pile(1, 2, 3, 4)
    office = Office(pile, workers=2)
    stand = Stand(pile)
    office.worker(0).hold(stand)
    office.dispatch()
    office.lose(worker=0, task=1, node="node", position=0)
    assert sorted(pile.lost) == [(1, True), (3, False)]
    assert stand.orphaned
    assert [len(office.worker(number).tasks) for number in range(2)] == [0, 2]


def test_lost_tasks_go_out_again():
    pile = Pile(1, 2)
    office = Office(pile, workers=1)
    office.dispatch()
    office.lose()
    assert pile.lost == [(1, False), (2, False)]
    office.dispatch()
    assert [key for key, _ in pile.taken] == [1, 2, 1, 2]


def test_single_loss_costs_one_task():
    """Its worker goes on with what else it has."""
    pile = Pile(1, 2)
    office = Office(pile, workers=1)
    stand = Stand(pile)
    office.worker().hold(stand)
    office.dispatch()
    office.lose(task=2, single=True)
    assert pile.lost == [(2, True)]
    assert (list(office.worker().tasks), stand.orphaned) == ([1], False)


def test_loss_of_what_is_home_is_nothing():
    pile = Pile(1)
    office = Office(pile)
    office.dispatch()
    office.land(1)
    office.lose(task=1, single=True)
    assert pile.lost == []


def test_blameless_deaths_end_it():
    """Worker after worker that dies at no item says that the pool itself is broken."""
    office = Office(Pile(1))
    for _ in range(MOST_BLAMELESS):
        office.lose()
    with pytest.raises(PoolError, match="pool 'pool': 16 workers in a row"):
        office.lose()


@pytest.mark.parametrize("known", [{"node": "node"}, {"position": 3}, {"single": True}])
def test_death_at_an_item_is_blamed(known):
    """It has a culprit, so the count begins anew."""
    office = Office(Pile(1))
    for _ in range(3):
        for _ in range(MOST_BLAMELESS):
            office.lose()
        office.lose(**known)


def test_task_home_ends_the_count():
    office = Office(Pile(*range(9)))
    for _ in range(3):
        for _ in range(MOST_BLAMELESS):
            office.lose()
        office.dispatch()
        office.land(max(office.scheduler.tasks))


def test_lost_task_does_not_end_the_count():
    """What was taken back from a dead worker has not come home."""
    office = Office(Pile(1))
    for _ in range(MOST_BLAMELESS):
        office.dispatch()
        office.lose()
    with pytest.raises(PoolError):
        office.lose()


@pytest.mark.parametrize(
    ("workers", "places", "concurrency", "count"), [(3, 1, 1, 3), (3, 2, 1, 6), (3, 8, 1, 6), (1, 32, 8, 16)]
)
def test_pool_is_busy_with_two_each(workers, places, concurrency, count):
    """Places beyond one at work and one on its way do not count."""
    assert count_places(SlowPool(workers, places, concurrency)) == count


SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 2))
PILES = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 3), st.booleans()), min_size=1, max_size=4)


@settings(max_examples=100, deadline=None)
@given(PILES, SHAPES, st.data())
def test_nobody_idles(piles, shape, data):
    """Whatever is ready and whoever comes home: nobody idles beside work, and nobody has more than there is room."""
    workers, places, concurrency = shape
    made = [Pile(*range(count), level=level, partial=partial) for count, level, partial in piles]
    office = Office(*made, workers=workers, places=concurrency * places, concurrency=concurrency)
    count = sum(len(pile.keys) for pile in made)
    for _ in range(3 * count + 3):
        office.dispatch()
        loads = [len(office.worker(number).tasks) for number in range(workers)]
        assert max(loads) <= min(places, 2) * concurrency
        if any(pile.keys for pile in made):
            assert min(loads) >= concurrency
        if any(pile.keys and not pile.partial for pile in made):
            assert min(loads) >= concurrency * min(places, 2)
        if not office.scheduler.tasks:
            break
        office.land(data.draw(st.sampled_from(sorted(office.scheduler.tasks))))
    assert sum(len(pile.taken) for pile in made) == count


class SteadyPile(Pile):
    """A pile of which an agenda is told when it changes."""

    is_steady = True

    def next_task(self, worker, work, number):
        self.changed.add(self)
        return super().next_task(worker, work, number)

    def put(self, key):
        """Lay down one more key; from now on it is full."""
        self.keys.append(key)
        self.partial = False
        self.changed.add(self)


@pytest.mark.parametrize("seed", range(12))
def test_agenda_chooses_alike(seed):
    """Each task looked at all steps: of many only those that have changed, and the same goes next."""
    dice, sent = random.Random(seed), []
    piles = [
        ([dice.randrange(30) for _ in range(dice.randrange(4))], dice.randrange(5), dice.random() < 0.5)
        for _ in range(60)
    ]
    choices = [(dice.randrange(3), dice.randrange(60), dice.randrange(90)) for _ in range(150)]
    for kind in (Pile, SteadyPile):
        heap = [kind(*keys, level=level, partial=partial) for keys, level, partial in piles]
        office = Office(*heap, Pile(3.5, 12.5, level=2), brief=heap[::3], workers=2, places=4)
        for choice, number, key in choices:
            office.dispatch()
            if choice and office.scheduler.tasks:
                office.land(min(office.scheduler.tasks))
            elif kind is SteadyPile:
                heap[number].put(key)
            else:
                heap[number].keys.append(key)
                heap[number].partial = False
        sent.append([pile.taken for pile in heap])
    assert sent[0] == sent[1]
    assert sum(map(len, sent[0])) > 50
