"""Enumerations that travel by value have the members that they had, however these came about."""

import dataclasses
import enum
import os

import pytest

from papympi.transport.enumerations import make_enumeration, reduce_enumeration


def copy(value):
    """The enumeration made of its parts, as another process would."""
    _, arguments, state, _, _, fill = reduce_enumeration(value)
    made = make_enumeration(os.urandom(16), *arguments[1:])
    fill(made, state)
    return made


def test_members_and_aliases():
    class Colour(enum.Enum):
        RED = 1
        CRIMSON = 1  # noqa: PIE796 - an alias is what this is about
        BLUE = 2

        def is_warm(self):
            return self.value == 1

    made = copy(Colour)
    assert [member.name for member in made] == ["RED", "BLUE"]
    assert made.CRIMSON is made.RED is made(1)
    assert (made.RED.is_warm(), made.BLUE.is_warm()) == (True, False)


def test_flags():
    class Right(enum.Flag):
        READ = enum.auto()
        WRITE = enum.auto()
        ALL = READ | WRITE

    made = copy(Right)
    assert made.READ | made.WRITE is made.ALL
    assert list(made.ALL) == [made.READ, made.WRITE]


def test_flags_keep_their_boundary():
    class Right(enum.IntFlag, boundary=enum.KEEP):
        READ = 1

    assert copy(Right)(5).value == 5


def test_texts_and_numbers():
    class Word(enum.StrEnum):
        ONE = enum.auto()

    class Level(enum.IntEnum):
        LOW = 3

    class Ratio(float, enum.Enum):
        HALF = 0.5

    assert f"{copy(Word).ONE}!" == "one!"
    assert copy(Level).LOW + 1 == 4
    assert copy(Ratio).HALF * 2 == 1.0


def test_new_is_not_called_again():
    class Coordinate(bytes, enum.Enum):
        def __new__(cls, number, label):
            made = bytes.__new__(cls, [number])
            made._value_ = number
            made.label = label
            return made

        X = (7, "left")

    made = copy(Coordinate)
    assert (made(7), made.X.label, bytes(made.X)) == (made.X, "left", b"\7")


def test_init_is_not_called_again():
    calls = []

    class Planet(enum.Enum):
        EARTH = (5.0, 6.0)

        def __init__(self, mass, radius):
            calls.append(mass)
            self.radius = radius

    assert copy(Planet).EARTH.radius == 6.0
    assert calls == [5.0]


def test_init_of_a_base_is_not_called():
    class Base(enum.Enum):
        def __init__(self, number):
            self.twice = 2 * number

    class Size(Base):
        SMALL = 4

    assert copy(Size).SMALL.twice == 8


def test_missing_is_kept():
    class Level(enum.Enum):
        LOW = 1

        @classmethod
        def _missing_(cls, value):
            return cls.LOW

    assert copy(Level)(99).name == "LOW"


def test_functions_may_be_members():
    class Operation(enum.Enum):
        DOUBLE = enum.member(lambda x: 2 * x)
        half = enum.nonmember(0.5)

    made = copy(Operation)
    assert made.DOUBLE.value(4) == 8
    assert (len(made), made.half) == (1, 0.5)


def test_a_dataclass_may_be_mixed_in():
    @dataclasses.dataclass
    class Body:
        mass: float

    class Planet(Body, enum.Enum):
        EARTH = 5.0

    assert copy(Planet).EARTH.mass == 5.0


def test_tuples_may_be_mixed_in():
    class Pair(tuple, enum.Enum):
        ONE = (1, 2)

    assert copy(Pair).ONE[1] == 2


@pytest.mark.parametrize("times", [1, 2])
def test_a_copy_may_be_copied(times):
    class Level(enum.IntEnum):
        LOW = 3

    made = Level
    for _ in range(times):
        made = copy(made)
    assert made(3) is made.LOW
