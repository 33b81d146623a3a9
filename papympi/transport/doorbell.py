"""A bell for whoever waits on descriptors: any thread may ring it.

It stands alone because pools and the engine wait with it, and know nothing of each other.
"""

from __future__ import annotations

import contextlib
import socket
import threading


class Doorbell:
    """A descriptor that becomes readable when any thread, or a signal handler, rings.

    At most one byte is in the socket, and `_rung` says whether it is: so no ring is lost, and none is left behind that
    nobody takes.
    """

    def __init__(self) -> None:
        self._receive, self._send = socket.socketpair()
        self._receive.settimeout(0)
        self._send.settimeout(0)
        self._rung = False
        self._lock = threading.RLock()  # a signal handler may ring while its thread does

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._receive.fileno()

    def ring(self) -> None:
        """Make the descriptor readable."""
        with self._lock:
            if not self._rung:
                self._rung = True
                with contextlib.suppress(OSError):  # closed: nobody waits any more
                    self._send.send(b"!")

    def silence(self) -> None:
        """Make the descriptor unreadable; to be called before looking at what it rang for."""
        with self._lock:
            if self._rung:
                with contextlib.suppress(BlockingIOError):
                    self._receive.recv(64)
                self._rung = False

    def close(self) -> None:
        """Give the descriptor back."""
        self._receive.close()
        self._send.close()
