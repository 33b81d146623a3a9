"""What is said about a run: pure functions from counts to text."""

from dataclasses import replace

import pytest

from papympi.contracts import NodeCount, Statistics
from papympi.model.failures import group_failures
from papympi.model.item import Failure
from papympi.monitors import report


def make_failure(key, message="bad", node="parse", **rest):
    return Failure(node, key, ValueError(message), **rest)


def test_summary():
    nodes = {"read": NodeCount(1200, 0, 0, 0.05), "parse": NodeCount(1200, 2, 1, 75.0)}
    groups = group_failures([make_failure((3,)), make_failure((5,))])
    text = str(report.Summary(Statistics(nodes, delivered=1197, seconds=40.0), groups))
    assert text.splitlines()[:4] == [
        "node    done  failed  dropped      time  rate",
        "-----  -----  ------  -------  --------  ----",
        "read   1 200                    50.0 ms  30/s",
        "parse  1 200       2        1  1:15 min  30/s",
    ]
    assert "1 197 results in 40 s, 30/s, 2 failed, 1 dropped" in text
    assert "2 times ValueError in parse: bad\n  first at item (3,)" in text


def test_summary_of_nothing():
    assert str(report.Summary(Statistics({}))) == "0 results in 0.0 ms"


def test_summary_of_the_most():
    """Summary of what was in the graph."""
    text = str(report.Summary(Statistics({}, highest=1200, heaviest=3_500_000_000)))
    assert text.splitlines()[-1] == "at the most 1 200 items in the graph at once, about 3.5 GB"
    assert report.format_most(1, 0) == "at the most 1 item in the graph at once"
    assert report.format_most(2, 1500) == "at the most 2 items in the graph at once, about 1.5 kB"


def test_groups_of_failures():
    failures = [make_failure((0,), "rare", traceback="Traceback\n  line\nValueError: rare", worker="threads[1]")]
    failures += [make_failure((n,), input="x=1", attempts=3) for n in range(1, 4)]
    common, rare = report.format_groups(group_failures(failures))
    assert common == "\n3 times ValueError in parse: bad\n  first at item (1,)\n  input: x=1\n  attempts: 3"
    assert rare == (
        "\nValueError in parse: rare\n  at item (0,), on threads[1]\n    Traceback\n      line\n    ValueError: rare"
    )


def test_long_traceback_is_cut():
    """A long traceback shows its end."""
    text = report.format_groups(group_failures([make_failure((0,), traceback="\n".join(map(str, range(50))))]))[0]
    assert "    ...\n    38\n" in text
    assert text.endswith("    49")


def test_many_kinds_are_cut_off():
    """Many kinds of failures are cut off."""
    parts = report.format_groups(group_failures([make_failure((n,), "no " * n) for n in range(25)]))
    assert len(parts) == report.GROUPS + 1
    assert parts[-1] == "\nand 15 more of 15 other kinds"


def test_table():
    records = [{"name": "a", "n": 1, "x": 0.123456789}, {"name": "b" * 100, "n": -20, "note": "two\nlines"}]
    assert report.format_table(records).splitlines() == [
        "name".ljust(60) + "    n         x  note",
        "-" * 60 + "  ---  --------  ---------",
        "a".ljust(60) + "    1  0.123457",
        "b" * 59 + "…  -20            two lines",
    ]


def test_long_table_is_cut_off():
    assert report.format_table([{"n": n} for n in range(50)], rows_limit=40).splitlines()[-1] == "and 10 more"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 ms"), (0.0123, "12.3 ms"), (0.5, "0.5 s"), (9.94, "9.9 s"), (42.3, "42 s"), (61, "1:01 min"),
     (3599.6, "1:00 h"), (90000, "25:00 h")],
)  # fmt: skip
def test_seconds(seconds, text):
    assert report.format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("number", "seconds", "text"), [(0, 1, ""), (5, 0, ""), (20000, 1, "20 000/s"), (3, 2, "1.5/s"), (1, 20, "3/min")]
)
def test_rate(number, seconds, text):
    assert report.format_rate(number, seconds) == text


def test_progress_line():
    """What has been is not what is: a rate since the beginning tells nothing of a run that stands still."""
    nodes = {"a": NodeCount(50), "b": NodeCount(20, failed=2)}
    before = Statistics({}, pulled=20, through=10, length=100, delivered=8, seconds=6.0)
    now = Statistics(nodes, pulled=60, through=20, length=100, delivered=18, seconds=10.0)
    assert report.format_progress(now, Statistics({})) == (
        "10 s: 18 results, 1.8/s, 20%, 40 s left | a 50 | b 20 (2 failed)"
    )
    assert report.format_overall(now, before) == "10 s: 18 results, 2.5/s, 20%, 32 s left"
    assert report.format_overall(replace(now, seconds=16.0), now) == "16 s: 18 results, 20%"
    assert report.format_overall(replace(now, length=None), before) == "10 s: 18 results, 2.5/s"
    assert report.format_overall(replace(now, through=100), before) == "10 s: 18 results, 2.5/s, 100%"
