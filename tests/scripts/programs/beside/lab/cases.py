"""A case for a function of another module."""

from lab.dispatch import describe


@describe.register
def _(value: int):
    return f"whole {value}"
