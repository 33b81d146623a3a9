"""Ctrl-C and SIGTERM during a run: once, it finishes the running batches; twice, or after a while, it ends at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTICE = b"\npapympi: stopping; what is in flight is finished. Once more ends it at once.\n"
GRACE_S = 30.0
"""So long after Ctrl-C or SIGTERM running batches may still take, in seconds, unless something else was said."""
_LAST_S = 10.0
"""So long after the second signal the user's code may still keep this process from ending."""
_OVER = b"papympi: the time of grace is over\n"
_KEPT = b"papympi: something keeps the run from ending: this process ends without it\n"


class Interrupts:
    """While its block lasts, the first signal stops a run and the next one raises `KeyboardInterrupt`.

    Attributes:
        code: the exit code that a signal asks for, 0 if there was none.

    Args:
        stop: asks the run to finish the running batches, with `doubt=True` if others than it may have been sent the
            signal; must be safe to call from a signal handler.
        cancel: ends the run at once; likewise.
        grace_s: so long after the first signal this process sends itself the next one; `None`: as is usual.
        drain: another signal, whose sender says itself when the time is over: after it `grace_s=None` is endless.
    """

    def __init__(
        self,
        stop: Callable[..., None],
        cancel: Callable[[], None],
        grace_s: float | None = None,
        drain: signal.Signals | None = None,
    ) -> None:
        self.code = 0
        self._stop = stop
        self._cancel = cancel
        self._grace_s = grace_s
        self._numbers = _SIGNALS if drain is None else (*_SIGNALS, drain)
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in self._numbers}
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        """Stop the run, or end it."""
        doubt = number == signal.SIGTERM
        if self.code:
            self._watch(self._leave)
            if doubt:
                self._stop(doubt=True)
            self._cancel()
            raise KeyboardInterrupt
        self.code = 128 + number
        os.write(2, _NOTICE)  # not through sys.stderr, which may be in the middle of a write
        grace_s = GRACE_S if self._grace_s is None and number in _SIGNALS else self._grace_s
        if grace_s is not None:
            self._watch(self._remind, number, grace_s)
        self._stop(doubt=doubt)

    def _watch(self, wait: Callable[..., None], *arguments: float) -> None:
        """Let a thread wait for the end."""
        thread = threading.Thread(target=wait, args=arguments, name="papympi-grace", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _remind(self, number: int, grace_s: float) -> None:
        """Send the signal again when the time of grace is over."""
        if not self._over.wait(grace_s):
            os.write(2, _OVER)
            os.kill(os.getpid(), number)

    def _leave(self) -> None:
        """End this process if a function of the user's does not let it end in an orderly way."""
        if not self._over.wait(_LAST_S):
            os.write(2, _KEPT)
            os._exit(self.code)
