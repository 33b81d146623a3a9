"""Lines on their way home: how many may wait, how many may be said, and what stands before each."""

import logging

from papympi.transport.records import PRINTED, Logs, Record, TokenBucket, format_prefix


def line(level=PRINTED, node="a"):
    return Record(node, (1,), level, "stdout", "text", 0.0)


def logs(*records, dropped=None):
    return Logs("worker", list(records), dropped or {})


def test_later_lines_come_after():
    first, second = line(node="a"), line(node="b")
    both = logs(first)
    both.add(logs(second))
    assert both.records == [first, second]


def test_too_many_lines_are_counted():
    full = logs(*[line()] * 2000)
    full.add(logs(line(node="b"), line(node="b"), line(node="c")))
    assert len(full.records) == 2000
    assert full.dropped == {"b": 2, "c": 1}


def test_warnings_have_more_room():
    full = logs(*[line()] * 2000)
    full.add(logs(line(logging.WARNING), line(logging.INFO)))
    assert [len(full.records), full.dropped] == [2001, {"a": 1}]


def test_even_warnings_have_an_end():
    full = logs(*[line()] * 4000)
    full.add(logs(line(logging.ERROR)))
    assert [len(full.records), full.dropped] == [4000, {"a": 1}]


def test_dropped_lines_add_up():
    both = logs(dropped={"a": 1, "b": 2})
    both.add(logs(dropped={"b": 3, "": 1}))
    assert both.dropped == {"a": 1, "b": 5, "": 1}


def test_a_burst_is_let_through():
    bucket = TokenBucket(3, 1)
    assert [bucket.take(1, 10.0) for _ in range(4)] == [True, True, True, False]


def test_the_bucket_fills_with_time():
    bucket = TokenBucket(2, 10)
    for _ in range(3):
        bucket.take(1, 10.0)
    assert not bucket.take(1, 10.05)
    assert bucket.take(1, 10.15)


def test_the_bucket_does_not_overflow():
    bucket = TokenBucket(2, 10)
    bucket.take(1, 10.0)
    assert [bucket.take(1, 1000.0) for _ in range(3)] == [True, True, False]


def test_a_long_line_counts_for_several():
    bucket = TokenBucket(5, 1)
    assert bucket.take(4000, 10.0)
    assert not bucket.take(1, 10.0)


def test_one_line_may_be_longer_than_a_burst():
    assert TokenBucket(2, 1).take(1_000_000, 10.0)


def test_a_prefix_names_node_key_and_worker():
    assert format_prefix("fit", (3, 1), "threads[0]") == "[fit (3, 1) threads[0]] "


def test_a_prefix_leaves_out_what_is_unknown():
    assert format_prefix("", None, "threads[0]") == "[threads[0]] "
    assert format_prefix("fit", (), "w") == "[fit () w] "
