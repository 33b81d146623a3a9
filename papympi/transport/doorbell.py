"""A bell for whoever waits on descriptors: any thread may ring it.

It stands alone because pools and the engine ring it and it knows nothing of what crosses the wire.
"""

from __future__ import annotations

import contextlib
import socket


class Doorbell:
    """A descriptor that becomes readable when any thread rings."""

    def __init__(self) -> None:
        self._receive, self._send = socket.socketpair()
        self._receive.settimeout(0)
        self._send.settimeout(0)
        self._rung = False

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._receive.fileno()

    def ring(self) -> None:
        """Make the descriptor readable."""
        if not self._rung:
            self._rung = True
            with contextlib.suppress(OSError):  # closed: nobody waits any more
                self._send.send(b"!")

    def silence(self) -> None:
        """Make the descriptor unreadable; to be called before looking at what it rang for."""
        if self._rung:
            self._rung = False
            with contextlib.suppress(BlockingIOError):
                self._receive.recv(64)

    def close(self) -> None:
        """Give the descriptor back."""
        self._receive.close()
        self._send.close()
