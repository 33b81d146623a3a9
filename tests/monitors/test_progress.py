"""The progress display: on a terminal and elsewhere."""

import io
import threading

import pytest

from papympi.contracts import NodeCount, Statistics
from papympi.monitors import progress
from papympi.monitors.progress import ProgressDisplay


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Watched:
    """A run that says how far it is, and when it has been asked."""

    def __init__(self):
        self.asked = threading.Semaphore(0)
        self.count = 0

    def statistics(self):
        self.count += 1
        self.asked.release()
        nodes = {"step": NodeCount(self.count * 10, failed=1)}
        return Statistics(nodes, pulled=90, through=10, length=100, delivered=self.count * 10, seconds=2.0)


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(progress, "FIRST_S", 0.02)
    monkeypatch.setattr(progress, "REFRESH_S", 0.01)


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_shown_until_the_end(stream):
    """It shows how far the run is and ends with it."""
    watched = Watched()
    with ProgressDisplay(watched.statistics, stream) as shown:
        for number in range(3):
            shown.put(f"line {number}")
            assert watched.asked.acquire(timeout=20)
    text, asked = stream.getvalue(), watched.count
    assert "step" in text
    assert "10%" in text
    assert [line.strip() for line in text.splitlines() if "line" in line and "left" not in line] or "line 0" in text
    assert text.index("line 0") < text.index("line 1") < text.index("line 2")
    assert not [thread for thread in threading.enumerate() if thread.name == "papympi-progress"]
    assert (stream.getvalue(), watched.count) == (text, asked)


def test_quick_run_shows_nothing(monkeypatch):
    monkeypatch.setattr(progress, "FIRST_S", 1000.0)
    stream = Terminal()
    with ProgressDisplay(Watched().statistics, stream):
        pass
    assert stream.getvalue() == ""


def test_lines_kept_when_it_raises(monkeypatch):
    """Lines are kept when the block raises."""
    monkeypatch.setattr(progress, "FIRST_S", 1000.0)
    stream = Terminal()

    def fail():
        with ProgressDisplay(Watched().statistics, stream) as shown:
            shown.put("seen")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert stream.getvalue() == "seen\n"


class Slow(Watched):
    """Its workers take their time to start; then it does 100 items in its first second, and one in each other."""

    def statistics(self):
        super().statistics()
        seconds = max(0.0, self.count - 3.0)
        done = round(100 + seconds - 1) if seconds else 0
        return Statistics({"step": NodeCount(done)}, through=done, length=200, delivered=done, seconds=seconds)


def watch(stream, looks):
    slow = Slow()
    with ProgressDisplay(slow.statistics, stream):
        for _ in range(looks):
            assert slow.asked.acquire(timeout=20)
    return stream.getvalue()


def test_no_line_before_it_begins(monkeypatch):
    """There were lines at 0.0 s with no result, while workers were started."""
    monkeypatch.setattr(progress, "FIRST_S", 0.001)
    lines = watch(io.StringIO(), 6).splitlines()
    assert lines[0] == progress.STARTING
    assert [line for line in lines[1:] if line == progress.STARTING or line.startswith("0.0")] == []


def test_rates_are_of_the_last_seconds(monkeypatch):
    """A run that has become slow seemed to be fast, and to be over soon."""
    monkeypatch.setattr(progress, "FIRST_S", 0.001)
    monkeypatch.setattr(progress, "LONGEST_S", 0.002)
    text = watch(io.StringIO(), 30).splitlines()[20]
    assert ", 1/s, " in text
    assert "1:" in text.partition("%")[2]
    assert " results, 1/s, " in watch(Terminal(), 30)
