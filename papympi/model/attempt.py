"""The one place where every exception is caught: users' code may raise anything, and costs its own item only.

It stands alone at the ground, as every room above calls users' code, be it only the `str` of an exception.
"""

from __future__ import annotations

import signal
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
    """Do the same, but let Ctrl-C through to whoever runs the main thread, unless it has no effect there."""
    result, error = attempt(function, *args)
    if error is not None and issubclass(type(error), KeyboardInterrupt) and _is_interruptible():
        raise error
    return result, error


def _is_interruptible() -> bool:
    in_main_thread = threading.current_thread() is threading.main_thread()
    return in_main_thread and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
