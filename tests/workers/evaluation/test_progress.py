"""The progress record: what one process writes, another reads, and nothing has a name in the file system."""

import os

import psutil
import pytest

from papympi.plan.program import MOST
from papympi.workers.evaluation.progress import (
    INDEX,
    NODE,
    NOTHING,
    TASK,
    ProgressSnapshot,
    SharedProgressRecord,
    create_record_file,
)


@pytest.fixture
def records():
    """Two mappings of one record, as child and parent have."""
    descriptor = create_record_file()
    pair = SharedProgressRecord(descriptor), SharedProgressRecord(descriptor)
    os.close(descriptor)
    yield pair
    for record in pair:
        record.close()


def test_fresh_record_has_no_task(records):
    child, parent = records
    assert parent.read().task is None
    child.begin(0)
    assert parent.read().task == 0


def test_child_of_item_is_read(records):
    """The parent reads at which child of which item a call is."""
    child, parent = records
    child.begin(17)
    child.enter([(0, 5, 2), (3, 0, 4)])
    for index, place in enumerate([(0, 5), (0, 6), (3, 0), (3, 1), (3, 2), (3, 3)]):
        child.at(2, index)
        assert (parent.read().position, parent.read().child) == place
    child.leave()
    assert (parent.read().position, parent.read().child) == (5, None)
    child.enter([(position, 0, 1) for position in range(MOST)])
    child.at(2, MOST - 1)
    assert (parent.read().position, parent.read().child) == (MOST - 1, 0)
    child.begin(18)
    child.at(0, 1)
    assert (parent.read().position, parent.read().child) == (1, None)


def test_parent_reads_what_is_written(records):
    """The parent reads what the child writes."""
    child, parent = records
    child.begin(17)
    assert parent.read()[:3] == (17, None, None)
    child.at(2, 5)
    assert parent.read()[:3] == (17, 2, 5)
    child.done()
    assert parent.read()[:3] == (None, None, None)


def test_next_task_starts_afresh(records):
    """The next task does not inherit the place."""
    child, parent = records
    child.begin(1)
    child.at(3, 9)
    child.done()
    child.begin(2)
    assert parent.read()[:3] == (2, None, None)


def test_slots_are_the_same(records):
    child, parent = records
    child.begin(4)
    child.slots[NODE] = 1
    child.slots[INDEX] = 2**40
    assert isinstance(parent.read(), ProgressSnapshot)
    assert parent.read()[:3] == (4, 1, 2**40)
    child.slots[TASK] = NOTHING
    assert parent.read().task is None


def test_dead_process_leaves_record(records):
    """A dead process leaves what it wrote."""
    child, parent = records
    pid = os.fork()
    if pid == 0:
        child.begin(8)
        child.at(0, 3)
        os._exit(1)
    os.waitpid(pid, 0)
    assert parent.read()[:3] == (8, 0, 3)


def test_records_leave_no_descriptor():
    before = psutil.Process().num_fds()
    for _ in range(50):
        descriptor = create_record_file()
        record = SharedProgressRecord(descriptor)
        os.close(descriptor)
        record.close()
    assert psutil.Process().num_fds() == before
