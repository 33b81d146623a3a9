"""A function with cases that other modules add."""

from functools import singledispatch


@singledispatch
def describe(value):
    return f"something {value}"
