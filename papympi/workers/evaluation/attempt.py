"""The one place where every exception is caught: user code may raise anything, and costs its own item only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def attempt(function: Callable[..., Any], *args: Any) -> tuple[Any, BaseException | None]:
    """Return what `function(*args)` returned and what it raised, whatever it is."""
    try:
        return function(*args), None
    except BaseException as error:  # noqa: BLE001 - see above
        return None, error


def attempt_interruptibly(function: Callable[..., Any], *args: Any) -> tuple[Any, BaseException | None]:
    """Do the same, but let Ctrl-C through to whoever runs the main thread."""
    result, error = attempt(function, *args)
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error
    return result, error
