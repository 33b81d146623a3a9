"""Values and exceptions as text, for messages, tables and files: bounded, fit for a terminal, and never raising.

What an object says of itself is users' code: it may raise, call itself for ever, or return a megabyte of control
characters. So whoever says something of an object of the user's says it with a function from here.
"""

from __future__ import annotations

import contextlib
import re
import reprlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from papympi.errors import NO_ROOM
from papympi.model.attempt import attempt

LONGEST: Final = 10_000
"""So many characters of a message are kept."""
_LONGEST_NAME: Final = 200

UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters; tabs and ends of lines may stay
    "\u200e\u200f\u2028-\u202e\u2066-\u2069"  # what breaks lines, or turns the direction of writing
    "\ud800-\udfff]"  # halves of a pair, which no file takes
)
"""What no terminal gets to see."""

_COLOUR_OR_UNSAFE: Final = re.compile(f"\x1b\\[[0-9;:]*m|{UNSAFE.pattern}")


def tell(value: Any, longest: int = LONGEST) -> str:
    """Return the `str` of a value."""
    return _ask(str, value, longest)


def tell_repr(value: Any, longest: int = LONGEST) -> str:
    """Return the `repr` of a value."""
    return _ask(repr, value, longest)


def describe(value: Any) -> str:
    """Return the `repr` of a value in few words."""
    text, error = attempt(_brief.repr, value)
    return clean(text) if error is None else _tell_refusal("repr", value, error)


def describe_kind(value: Any) -> str:
    """Return the qualified name of the value's class."""
    kind = type(value)
    name, module = _name(kind, "__qualname__"), _name(kind, "__module__")
    return name if module == "builtins" else f"{module}.{name}"


def tell_kind(value: Any) -> str:
    """Return the name of the value's class."""
    return _name(type(value), "__name__")


def tell_error(error: BaseException, longest: int = LONGEST) -> str:
    """Return the kind of an exception, and what it says."""
    return f"{tell_kind(error)}: {tell(error, longest)}"


def clean(text: str, longest: int = LONGEST) -> str:
    """Return a text so that a terminal or a file can take it, cut off if it is long."""
    size = str.__len__(text)
    told = UNSAFE.sub(_escape, str.__getitem__(text, slice(0, longest)))  # of a class of the user's own, too
    return told if size <= longest else f"{told}… ({size - longest:,} more characters)"


def clean_line(text: str) -> str:
    """Return what a function has printed or logged, fit for a terminal; its colours stay."""
    return _COLOUR_OR_UNSAFE.sub(_escape_unless_colour, text)


def _escape_unless_colour(found: re.Match[str]) -> str:
    return found[0] if len(found[0]) > 1 else _escape(found)


def _escape(character: re.Match[str]) -> str:
    return character[0].encode("unicode_escape").decode()


def to_digits(number: int) -> str:
    """Return all digits of an integer, also where Python has a limit to them, which is the same for all threads."""
    try:
        return str(number)
    except ValueError:
        from decimal import Decimal

        return str(Decimal(number))


def from_digits(text: str) -> int:
    """Return the integer that digits stand for, however many."""
    try:
        return int(text)
    except ValueError:
        from decimal import Decimal

        return int(Decimal(text))


def _ask(how: Callable[[Any], str], value: Any, longest: int) -> str:
    """Return what a value says of itself, or why it says nothing."""
    text, error = attempt(how, value)
    if isinstance(error, ValueError) and type(value) in _MAY_HOLD_DIGITS:
        text, error = attempt(to_digits if type(value) is int else _brief.repr, value)
    return clean(text, longest) if error is None else _tell_refusal(_name(how, "__name__"), value, error)


def _tell_refusal(how: str, value: Any, error: BaseException) -> str:
    """Return what stands for the text of a value whose own code has raised."""
    why, silent = attempt(str, error)
    told = "" if silent is not None or not why else f": {clean(why, _LONGEST_NAME)}"
    return f"<{how}() of {tell_kind(value)} raised {tell_kind(error)}{told}>"


def _name(kind: Any, attribute: str) -> str:
    """Return a name of a class or function, which may have put something else there."""
    name = attempt(getattr, kind, attribute)[0]
    return clean(name, _LONGEST_NAME) if isinstance(name, str) else "?"


_MAY_HOLD_DIGITS: Final = (int, list, tuple, dict, set, frozenset)
"""What cannot say itself if it has, or is, an integer of more digits than Python puts into a text."""


class _Brief(reprlib.Repr):
    """Says what is in a container, however much it is, also when one of its values cannot be said."""

    def repr_int(self, x: int, level: int) -> str:
        """Return the digits of an integer; of many the first and the last."""
        return self.repr_str(to_digits(x), level)[1:-1]

    def repr_instance(self, x: Any, level: int) -> str:  # noqa: ARG002 - inherited
        """Return the `repr` of an object; of a long one its beginning and its end."""
        text, error = attempt(repr, x)
        if error is not None:
            return _tell_refusal("repr", x, error)
        size, most = str.__len__(text), self.maxother
        if size <= most:
            return str.__getitem__(text, slice(0, most))
        half = (most - 3) // 2
        return f"{str.__getitem__(text, slice(0, half))}...{str.__getitem__(text, slice(size - half, size))}"


_brief: Final = _Brief()
_brief.maxstring = _brief.maxother = 120
_brief.maxlevel = 3


@contextlib.contextmanager
def as_far_as_room() -> Iterator[None]:
    """Let what the block says be lost where a disk is full or the stream has been closed: that ends nothing.

    Raises:
        OSError: nobody is there any more to read it; that is how the ranks of a launcher learn that it is gone.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
    except ValueError:  # it has been closed
        pass
