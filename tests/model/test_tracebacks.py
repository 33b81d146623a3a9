"""Tracebacks begin at the user's first line, have no frame of papympi, and are as Python says them otherwise."""

import contextlib
import json
import sys
import traceback

import pytest

from papympi.model.attempt import attempt
from papympi.model.tracebacks import LONGEST_TRACEBACK, shorten_traceback, tell_traceback
from papympi.model.users_code import OWN


def told(function, *args):
    """The traceback of what a function raises that papympi has called."""
    return tell_traceback(attempt(function, *args)[1], function)


def frames(text):
    return [line.strip(" |") for line in text.splitlines() if line.lstrip(" |").startswith("File")]


def test_an_ordinary_traceback_is_as_python_says_it():
    with pytest.raises(ValueError, match="plain") as caught:
        raise ValueError("plain")
    assert tell_traceback(caught.value) == "".join(traceback.format_exception(caught.value))


def test_a_library_that_calls_the_user_is_left_out():
    """The frames before the user's first line are whatever lies between papympi and that."""

    @contextlib.contextmanager
    def nothing():
        yield

    @nothing()
    def divide(x):
        return 1 / x

    text = told(divide, 0)
    assert "contextlib" not in text
    assert "1 / x" in text.splitlines()[2]


def test_a_library_function_is_shown():
    """There is no line of the user's: the library's own stand for it."""
    text = told(json.loads, "{")
    assert "json/__init__.py" in frames(text)[0]
    assert not [line for line in frames(text) if OWN in line]


def test_a_library_that_is_called_keeps_its_frames():
    """A traceback that does not begin in papympi is not cut, such as one that the user's code has logged."""
    with pytest.raises(ValueError, match="Expecting") as caught:
        json.loads("{")
    assert tell_traceback(caught.value) == "".join(traceback.format_exception(caught.value))


def test_causes_and_groups_have_no_frames_of_papympi():
    """Each exception of a chain or group has a traceback of its own."""

    def fail():
        errors = [attempt(json.loads, "{")[1], attempt(int, "x")[1]]
        try:
            raise ExceptionGroup("several", errors)
        except ExceptionGroup as group:
            raise KeyError("last") from group

    text = told(fail)
    assert not [line for line in frames(text) if OWN in line]
    assert "in fail" in frames(text)[0]
    assert "in fail" in frames(text)[-1]
    assert "json/__init__.py" in text
    assert "invalid literal" in text


def recurse(x):
    return recurse(x) + 1


def there(x):
    return back(x)


def back(x):
    return there(x)


def test_repeated_lines_are_folded():
    """Python folds lines that repeat themselves; papympi's frames between them would hide that they do."""

    def through(x):
        raise attempt(through, x)[1]

    for function in (recurse, through):
        text = told(function, 1)
        assert "Previous line repeated" in text
        assert len(frames(text)) == 3


@pytest.mark.parametrize("length", [1, 30_000])
def test_both_ends_of_many_frames_are_there(length):
    """The first line could be cut off where frames are many, or what the exception was raised from says much."""

    def begin():
        try:
            there(1)
        except RecursionError as error:
            error.add_note("n" * length)
            raise ValueError("m" * length) from error

    text = told(begin)
    assert "in begin" in frames(text)[0]
    assert "in begin" in frames(text)[-1]
    assert "more frames)" in text
    assert len(text) < LONGEST_TRACEBACK + 100


def test_long_messages_leave_room_for_frames():
    """Of two long messages one stood where the frames of the last exception are."""

    def fail():
        try:
            raise KeyError("k" * 100_000)
        except KeyError as error:
            raise ValueError("v" * 100_000) from error  # here

    text = told(fail)
    assert "# here" in text
    assert len(text) < LONGEST_TRACEBACK + 100


def test_a_long_traceback_keeps_both_ends():
    error = ValueError("m" * 1_000_000)
    for _ in range(20):
        error.add_note("n" * 5000)
    error.add_note("look here")
    text = tell_traceback(error)
    assert text.startswith("ValueError: mmm")
    assert text.endswith("\nlook here\n")
    assert len(text) < LONGEST_TRACEBACK + 100


def test_a_limit_of_python_hides_no_line(monkeypatch):
    """Python counts from the first frame, which is papympi's."""
    monkeypatch.setattr(sys, "tracebacklimit", 1, raising=False)
    assert "in recurse" in told(recurse, 1)


def test_a_mistake_of_papympi_is_shown_where_asked():
    error = attempt(int, "x")[1]
    assert tell_traceback(error) == "ValueError: invalid literal for int() with base 10: 'x'\n"
    assert "attempt.py" in tell_traceback(error, tells_own=True)


def test_a_short_form_has_the_first_lines():
    """The end alone says where it was raised, and not in which of the user's lines it began."""

    def deep(x):
        return deep(x - 1) * 1 if x else [].pop()

    def begin():
        try:
            deep(10)
        except IndexError as error:
            raise ValueError("begun") from [deep, error][1]

    lines = shorten_traceback(told(begin), 2)
    assert [line.strip() for line in lines if "in begin" in line] == frames(told(begin))[:1] + frames(told(begin))[-1:]
    assert lines[-1] == "ValueError: begun"
    assert "..." in lines
    assert len(lines) < 12
    assert shorten_traceback("one\ntwo", 2) == ["one", "two"]
