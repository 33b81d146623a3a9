"""Failures survive the way to another process, whatever their exceptions do."""

import pickle

from papympi.errors import RemoteError
from papympi.model.item import DROP, Failure, make_portable


class Plain(Exception):
    pass


class TakesTwo(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class NoText(TakesTwo):
    def __str__(self):
        raise RuntimeError("no text either")


class Refuses(Exception):
    def __reduce__(self):
        raise OSError("never")


class Shifty(Exception):
    def __reduce__(self):
        return ValueError, ("another",)


def test_portable_is_left_alone():
    """What can travel is left alone."""
    error = Plain("x")
    assert make_portable(error) is error


def test_unportable_is_replaced():
    """What cannot is replaced."""
    for error in (TakesTwo(1, 2), NoText(1, 2), Refuses("x"), Shifty("x"), Plain(i for i in "x")):
        portable = make_portable(error)
        assert isinstance(portable, RemoteError)
        assert portable.kind.endswith(type(error).__qualname__)
        pickle.loads(pickle.dumps(portable))
    assert make_portable(TakesTwo(1, 2)).text == "1 and 2"


def test_failure_always_pickles():
    """A failure can always be pickled."""
    failure = Failure("node", (1, 2), TakesTwo(1, 2), "trace", "input", "worker", 3, "target", (1,))
    copy = pickle.loads(pickle.dumps(failure))
    assert isinstance(copy.error, RemoteError)
    same = ("node", "key", "traceback", "input", "worker", "attempts", "target", "place")
    assert [getattr(copy, name) for name in same] == [getattr(failure, name) for name in same]
    assert isinstance(failure.error, TakesTwo)


def test_drop_is_one_object():
    assert pickle.loads(pickle.dumps(DROP)) is DROP
