"""Fork servers that are started before there is a pool for them, so that they import while the runner does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from papympi.plan.preparation import Preparation

if TYPE_CHECKING:
    from papympi.workers.children.client import ForkServerClient  # a run without children does without


class _EarlyServer(NamedTuple):
    """A fork server that waits for its pool.

    Attributes:
        fork_server: has been started.
        preparation: what it loads; `None`: nothing yet.
        process: who has started it; a copy of that process leaves it alone.
    """

    fork_server: ForkServerClient
    preparation: Preparation | None
    process: int


_waiting: Final[list[_EarlyServer]] = []


def start_early(preparation: Preparation | None = None) -> None:
    """Start a fork server for the first pool that needs it, unless one waits; let it load a script."""
    from papympi.workers.children.client import ForkServerClient

    if _waiting:
        return
    fork_server = ForkServerClient("processes")
    fork_server.start()
    if preparation is not None:
        fork_server.load(preparation)
    _waiting.append(_EarlyServer(fork_server, preparation, os.getpid()))


def take_early(owner: str, preparation: Preparation | None) -> ForkServerClient | None:
    """Return the fork server that was started early, if it is as the pool would start it; it belongs to that now."""
    early = _take_any()
    if early is None:
        return None
    fork_server, loads, process = early
    fits = fork_server.is_as_now() if loads is None else preparation is not None and loads.begins(preparation)
    if process != os.getpid() or not fits:
        _waiting.append(early)
        return None
    fork_server.owner = owner
    return fork_server


def end_early() -> None:
    """End a fork server that nobody has taken."""
    while (early := _take_any()) is not None:
        if early.process == os.getpid():
            early.fork_server.end(0)


def _take_any() -> _EarlyServer | None:
    """Return a fork server that waits, which then belongs to the caller: runs may begin and end in several threads."""
    try:
        return _waiting.pop()
    except IndexError:
        return None
