"""The one place where every exception is caught: users' code may raise anything, and costs its own item only.

It stands alone at the ground, as every room above calls users' code, be it only the `str` of an exception.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def attempt(function: Callable[..., Any], *args: Any) -> tuple[Any, BaseException | None]:
    """Return what `function(*args)` returned and what it raised, whatever it is."""
    try:
        return function(*args), None
    except BaseException as error:  # noqa: BLE001 - see above
        return None, error
