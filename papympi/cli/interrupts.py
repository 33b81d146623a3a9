"""Ctrl-C and SIGTERM during a run: once, it finishes what is in flight; twice, it ends at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTICE = b"\npapympi: stopping; what is in flight is finished. Once more ends it at once.\n"


class Interrupts:
    """While its block lasts, the first signal stops a run and the next one raises `KeyboardInterrupt`.

    Attributes:
        code: the exit code that a signal asks for, 0 if there was none.

    Args:
        stop: asks the run to finish what is in flight; must be safe to call from a signal handler.
        cancel: ends the run at once; likewise.
    """

    def __init__(self, stop: Callable[[], None], cancel: Callable[[], None]) -> None:
        self.code = 0
        self._stop = stop
        self._cancel = cancel
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        """Stop the run, or end it."""
        if self.code:
            self._cancel()
            raise KeyboardInterrupt
        self.code = 128 + number
        os.write(2, _NOTICE)  # not through sys.stderr, which may be in the middle of a write
        self._stop()
