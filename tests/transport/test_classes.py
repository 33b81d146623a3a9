"""Classes that travel by value are made again whole, and once in a process."""

import abc
import gc
import os
import weakref

import pytest

from papympi.transport.blame import CannotTravelError
from papympi.transport.classes import fill_class, identify, make_class, reduce_class


def make(name="Thing", metaclass=type, bases=(), attributes=None, token=None):
    namespace = {"__module__": "m", "__qualname__": name}
    made = make_class(token or os.urandom(16), metaclass, name, bases, namespace)
    fill_class(made, (attributes or {}, (), (), False))
    return made


def copy(value):
    """The class made of its parts, as another process would."""
    _, arguments, state, _, _, fill = reduce_class(value)
    made = make_class(os.urandom(16), *arguments[1:])
    fill(made, state)
    return made


def test_a_class_is_filled():
    made = make(attributes={"size": 3, "double": lambda self: 2 * self.size})
    assert (made().double(), made.__name__, made.__module__) == (6, "Thing", "m")


def test_a_token_stands_for_one_class():
    class Own:
        pass

    token = identify(Own)
    assert identify(Own) == token
    assert make_class(token, type, "Own", (), {}) is Own


def test_a_class_is_filled_once():
    made = make(attributes={"count": 1})
    made.count = 5
    fill_class(made, ({"count": 1}, (), (), False))
    assert made.count == 5


def test_a_program_fills_it_again():
    made = make(attributes={"count": 1})
    fill_class(made, ({"count": 2}, (), (), True))
    assert made.count == 2


def test_a_class_of_our_own_stays():
    class Own:
        count = 1

    identify(Own)
    fill_class(Own, ({"count": 2}, (), (), True))
    assert Own.count == 1


def test_classes_of_equal_parts_differ():
    def define():
        class Local:
            pass

        return Local

    assert identify(define()) != identify(define())


def test_a_metaclass_may_compare_strangely():
    class Meta(type):
        def __eq__(cls, other):
            return True

        __hash__ = None

    one, two = Meta("one", (), {}), Meta("two", (), {})
    assert identify(one) != identify(two)


def test_nothing_keeps_a_class():
    class Local:
        pass

    token, gone = identify(Local), weakref.ref(Local)
    del Local
    gc.collect()
    assert gone() is None
    assert make(token=token).__name__ == "Thing"


def test_no_hook_is_called_again():
    calls = []

    class Base:
        def __init_subclass__(cls, **options):
            calls.append(cls)

    make("Child", bases=(Base,))
    assert calls == []
    type("Other", (Base,), {})
    assert len(calls) == 1


def test_no_metaclass_is_called_again():
    calls = []

    class Meta(type):
        def __new__(cls, *args):
            calls.append(args)
            return super().__new__(cls, *args)

    assert type(make(metaclass=Meta)) is Meta
    assert calls == []


def test_an_abstract_class_stays_abstract():
    class Shape(abc.ABC):
        @abc.abstractmethod
        def area(self): ...

    with pytest.raises(TypeError, match="abstract"):
        copy(Shape)()


def test_registered_subclasses_arrive():
    class Shape(abc.ABC):
        @abc.abstractmethod
        def area(self): ...

    class Round:
        pass

    Shape.register(Round)
    assert issubclass(Round, copy(Shape))


def test_virtual_bases_arrive():
    class Row:
        pass

    import collections.abc

    collections.abc.Mapping.register(Row)
    assert issubclass(copy(Row), collections.abc.Mapping)


def test_classes_made_in_c_are_refused():
    ctypes = pytest.importorskip("ctypes")

    class Point(ctypes.Structure):
        _fields_ = (("x", ctypes.c_int),)

    with pytest.raises(CannotTravelError, match="PyCStructType does not travel by value; put it into a module"):
        reduce_class(Point)
