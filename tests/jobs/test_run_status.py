"""What is said of a run from the files of its directory alone."""

import json
from dataclasses import replace

import pytest

from papympi.contracts import NodeCount, Statistics
from papympi.errors import JournalError
from papympi.jobs.run_status import RunStatus
from papympi.monitors.events import Events, describe
from papympi.stores.rundir import EVENTS

STATISTICS = Statistics(
    {"n": NodeCount(done=7, failed=1, seconds=3.0)}, pulled=9, through=8, length=16, delivered=7, seconds=4.0
)


def write_run(folder, event, finished=7):
    """Write the events of one attempt."""
    Events(folder / EVENTS, lambda: {"finished": finished}).close(STATISTICS, event)


def test_nodes_rate_and_time_left_are_told(tmp_path):
    write_run(tmp_path, "stopped")
    status = RunStatus(tmp_path)
    text = status.describe()
    assert "stopped; work remains" in text
    assert "7 results, 50%, 4.0 s left" in text
    assert text.splitlines()[3].split() == ["n", "7", "1", "1.8/s"]
    assert (status.count(), status.is_over()) == (7, True)


def test_attempts_are_counted_and_the_last_one_tells(tmp_path):
    write_run(tmp_path, "stopped", 7)
    write_run(tmp_path, "finished", 16)
    assert "attempt 2, complete" in RunStatus(tmp_path).describe()
    assert "16 finished in all attempts" in RunStatus(tmp_path).describe()


def test_events_have_every_field_of_the_statistics():
    told = describe(STATISTICS)
    assert set(told) == set(Statistics.__dataclass_fields__) - {"finished"}
    assert told["nodes"]["n"] == {"done": 7, "failed": 1, "dropped": 0, "seconds": 3.0, "retried": 0}


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(JournalError, match="is no run directory"):
        RunStatus(tmp_path).describe()
    with pytest.raises(JournalError, match="nothing runs in"):
        RunStatus(tmp_path).cancel()


def test_rates_are_of_the_last_seconds(tmp_path):
    """Of a run that goes on; an earlier attempt has a clock of its own."""
    write_run(tmp_path, "stopped")
    entries = [(0, 0), (10, 1000), (20, 1010), (29, 1019)]
    told = [
        {
            "event": "progress",
            **describe(replace(STATISTICS, nodes={"n": NodeCount(done)}, through=done, length=2000, seconds=s)),
        }
        for s, done in entries
    ]
    with (tmp_path / EVENTS).open("a") as events:
        for entry in [{"event": "opened"}, *told]:
            events.write(json.dumps({"time": 0, **entry}) + "\n")
    text = RunStatus(tmp_path).describe()
    assert text.splitlines()[3].split() == ["n", "1", "019", "1/s"]
    assert "51%, 16:21 min left" in text
