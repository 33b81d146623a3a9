"""In which ways a function of a random node fails."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from tests.fuzz.specs import Spec

LONG_S = 100
"""How long what hangs sleeps: longer than any time-out, and not for ever."""


class Bad(Exception):
    """What most nodes raise."""


class Mute(Exception):
    """It cannot be told, nor sent."""

    def __str__(self) -> NoReturn:
        raise RuntimeError("no words")

    __repr__ = __str__

    def __reduce__(self) -> NoReturn:
        raise TypeError("no pickle of me")


class Unpicklable:
    """It has no pickle."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("no pickle of me")


class Unopenable:
    """It has a pickle that nothing comes out of."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> NoReturn:
    raise RuntimeError("not out of the pickle")


def _raise(error: BaseException) -> NoReturn:
    raise error


def _die(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(LONG_S)


def _sleep_lightly() -> None:
    """Sleep so that an abandoned thread, which ends at its next step, does not stay for long."""
    for _ in range(LONG_S):
        time.sleep(1)


def _close_all() -> None:
    os.closerange(3, 1000)


def _recurse(depth: int) -> int:
    return _recurse(depth + 1) + 1


RAISE: dict[str, Callable[[Spec, list[Any]], Any]] = {
    "raise": lambda spec, row: _raise(Bad(spec.name, row)),
    "exit": lambda *_: sys.exit(3),
    "mute": lambda *_: _raise(Mute()),
    "cancelled": lambda *_: _raise(asyncio.CancelledError()),
    "stop": lambda *_: _raise(StopIteration(1)),
    "async stop": lambda *_: _raise(StopAsyncIteration(1)),
    "generator exit": lambda *_: _raise(GeneratorExit()),
    "group": lambda *_: _raise(ExceptionGroup("several", [Bad(1), Mute()])),
    "long": lambda *_: _raise(Bad("long " * 100_000)),
}
"""What is raised: it works on every pool, in every kind of node."""
DIE: dict[str, Callable[[Spec, list[Any]], Any]] = {
    "die": lambda *_: os._exit(3),
    "kill": lambda *_: _die(signal.SIGKILL),
    "crash": lambda *_: _die(signal.SIGSEGV),
    "close": lambda *_: _close_all(),
    "recursion": lambda *_: _recurse(0),
    "interrupt": lambda *_: _raise(KeyboardInterrupt()),
}
"""What is for a process of its own: it ends, or is slow; to the user's main thread an interrupt is Ctrl-C."""
HANG: dict[str, Callable[[Spec, list[Any]], Any]] = {
    "hang": lambda *_: _sleep_lightly(),
    "sleep": lambda *_: time.sleep(LONG_S),
    "spin": lambda *_: sum(range(10**13)),
}
"""What never returns; where it cannot be interrupted, somebody has to be killed."""
RETURN: dict[str, Callable[[Spec, list[Any]], Any]] = {
    "unpicklable": lambda *_: Unpicklable(),
    "unopenable": lambda *_: Unopenable(),
}
"""What is returned and cannot be sent; a failure only where it has to be sent."""
TROUBLES = {**RAISE, **DIE, **HANG, **RETURN}
STUMBLES = {"error": lambda *_: _raise(ConnectionError("not yet"))} | DIE | HANG
"""What a call does that goes well in the end."""
