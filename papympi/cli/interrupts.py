"""Ctrl-C and SIGTERM during a run: once, it finishes the running batches; twice, it ends at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTICE = b"\npapympi: stopping; what is in flight is finished. Once more ends it at once.\n"
TERM_GRACE_S = 5.0
"""So long after SIGTERM a run that keeps nothing may still take, in seconds; what sends it often kills after ten."""
_OVER = b"papympi: the time of grace is over\n"


class Interrupts:
    """While its block lasts, the first signal stops a run and the next one raises `KeyboardInterrupt`.

    Attributes:
        code: the exit code that a signal asks for, 0 if there was none.

    Args:
        stop: asks the run to finish the running batches, with `doubt=True` if others than it may have been sent the
            signal; must be safe to call from a signal handler.
        cancel: ends the run at once; likewise.
        grace_s: so long after the first signal this process sends itself the next one; `None`: never.
        term_grace_s: the same after SIGTERM.
        more: other signals that do the same.
    """

    def __init__(
        self,
        stop: Callable[..., None],
        cancel: Callable[[], None],
        grace_s: float | None = None,
        more: tuple[signal.Signals, ...] = (),
        *,
        term_grace_s: float | None = None,
    ) -> None:
        self.code = 0
        self._stop = stop
        self._cancel = cancel
        self._grace_s = grace_s
        self._term_grace_s = grace_s if term_grace_s is None else term_grace_s
        self._numbers = (*_SIGNALS, *more)
        self._over = threading.Event()
        self._timer: threading.Thread | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in self._numbers}
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        if self._timer is not None:
            self._timer.join()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        """Stop the run, or end it."""
        doubt = number == signal.SIGTERM
        if self.code:
            if doubt:
                self._stop(doubt=True)
            self._cancel()
            raise KeyboardInterrupt
        self.code = 128 + number
        os.write(2, _NOTICE)  # not through sys.stderr, which may be in the middle of a write
        grace_s = self._term_grace_s if doubt else self._grace_s
        if grace_s is not None:
            self._timer = threading.Thread(target=self._wait, args=(number, grace_s), name="papympi-grace", daemon=True)
            self._timer.start()
        self._stop(doubt=doubt)

    def _wait(self, number: int, grace_s: float) -> None:
        """Send the signal again when the time of grace is over."""
        if not self._over.wait(grace_s):
            os.write(2, _OVER)
            os.kill(os.getpid(), number)
