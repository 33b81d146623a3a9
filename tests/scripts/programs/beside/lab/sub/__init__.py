"""A package in a package, which imports its parts by their relative names."""

from . import deep
from .deep import depth


def reach(number):
    return depth(number) + len(deep.__name__.split(".")) - 2
