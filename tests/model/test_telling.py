"""What users' objects say of themselves is bounded, fit for a terminal, and raises nothing."""

import pytest

from papympi.model.telling import (
    LONGEST,
    clean,
    describe,
    describe_kind,
    tell,
    tell_error,
    tell_kind,
    tell_repr,
)
from papympi.model.tracebacks import tell_traceback


class Bad(Exception):
    """Its text has a slip."""

    def __str__(self):
        return "code %d: %s" % self.args  # noqa: UP031 - the slip is the point


class Leaves(Exception):
    def __str__(self):
        raise SystemExit(3)

    __repr__ = __str__


class Endless(Exception):
    def __str__(self):
        return f"again {self}"

    __repr__ = __str__


class Mute(Exception):
    """Not even the exception of its exception can be told."""

    def __str__(self):
        raise Mute

    __repr__ = __str__


class NoText(Exception):
    def __str__(self):
        return 7  # noqa: PLE0307 - the slip is the point

    __repr__ = __str__


class OddNotes(Exception):
    @property
    def __notes__(self):
        raise OSError("no notes")


class OddAttributes(Exception):
    def __getattr__(self, name):
        raise KeyboardInterrupt(name)


class OddClass(Exception):
    __module__ = property(lambda _: 1 / 0)
    __class__ = property(lambda _: 1 / 0)
    __eq__ = __hash__ = __bool__ = lambda *_: 1 / 0


class Sly(str):
    """A text that is none."""

    def __getitem__(self, place):
        raise RuntimeError("mine")

    __len__ = __str__ = __format__ = __getitem__


class Shouts:
    def __repr__(self):
        return "\x1b[31mred\x07"


class Circle(Exception):
    """Its cause is its own."""

    def __init__(self, *args):
        super().__init__(*args)
        self.__cause__ = ValueError("another")
        self.__cause__.__cause__ = self


@pytest.mark.parametrize("kind", [Bad, Leaves, Endless, Mute, NoText, OddNotes, OddAttributes, OddClass, Circle])
def test_any_exception_can_be_told(kind):
    """Each text was asked for where it was wanted, by code of its own."""
    error = kind("x")
    for told in (tell(error), tell_repr(error), describe(error), describe([error]), tell_kind(error)):
        assert type(told) is str
    assert kind.__name__ in tell_error(error)
    assert kind.__name__ in tell_traceback(error)
    assert kind.__name__ in describe_kind(error)


def test_a_refusal_says_why():
    assert tell(Bad(5)) == "<str() of Bad raised TypeError: not enough arguments for format string>"
    assert tell(Leaves()) == "<str() of Leaves raised SystemExit: 3>"
    assert tell(Mute()) == "<str() of Mute raised Mute>"


def test_a_container_survives_its_members():
    assert describe([1, Bad(5), Mute()]) == "[1, Bad(5), <repr() of Mute raised Mute>]"


def test_a_number_with_many_digits_is_told():
    """Python refuses to write them."""
    for value in (10**5000, {10**5000: 1}, [10**5000]):
        assert len(describe(value)) < 300


def test_a_short_value_is_told_whole():
    assert describe([1, "two"]) == "[1, 'two']"


@pytest.mark.parametrize("value", ["x" * 10_000, list(range(10_000)), {i: i for i in range(10_000)}])
def test_a_long_value_is_cut(value):
    assert len(describe(value)) < 200


def test_a_long_message_is_cut():
    told = tell(ValueError("m" * 1_000_000))
    assert told == "m" * LONGEST + "… (990,000 more characters)"


def test_control_characters_are_spelt_out():
    """An exception could clear the terminal, or turn its direction of writing."""
    assert tell(ValueError("a\x1b[2J\x07\r\nb\tc\u202e\ud800\xa0é")) == "a\\x1b[2J\\x07\\r\nb\tc\\u202e\\ud800\xa0é"
    assert describe([Shouts()]) == "[\\x1b[31mred\\x07]"
    assert "\x1b" not in tell_traceback(ValueError("\x1b"))


def test_a_text_of_another_class_is_a_text():
    assert type(clean(Sly("abc"))) is str
    assert clean(Sly("abc"), 2) == "ab… (1 more characters)"


def test_built_in_kinds_have_no_module():
    assert describe_kind(3) == "int"


def test_other_kinds_have_their_module():
    assert describe_kind(Shouts()) == f"{__name__}.Shouts"
