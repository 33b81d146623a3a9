"""What makes a worker a child of its caller for `multiprocessing`: its secret, its name, and the tracker of resources.

`Manager` objects of the caller can be used in a worker, and shared memory that a worker makes or only opens lasts as
long as the caller wants. Nothing of `multiprocessing` is imported for that in a worker that does not import it itself.
"""

from __future__ import annotations

import contextlib
import os
import sys
from functools import partial
from typing import Any, Final, NamedTuple, cast

from papympi.script.imports import when_loaded
from papympi.workers.children.renewal import NEVER, Renewal


class Passport(NamedTuple):
    """What a child is told of itself.

    Attributes:
        name: of the process.
        parent: process id of the parent, on the same host.
        secret: by which processes that belong together know each other; b"": nobody has one.
        renew_above: how many bytes it may have before it would like to be replaced; 0: as many as there are.
    """

    name: str
    parent: int
    secret: bytes
    renew_above: int = 0


class ChildTerms(NamedTuple):
    """What the children of one pool have in common.

    Attributes:
        memory: how many bytes each may allocate; 0: as many as there are.
        secret: of the caller; b"": that of this process.
        tracker: what the resource tracker of this process is told through.
        renewal: when another takes the place of one.
    """

    memory: int = 0
    secret: bytes = b""
    tracker: int | None = None
    renewal: Renewal = NEVER


NO_TERMS: Final = ChildTerms()


def find_secret() -> bytes:
    """Return the authentication key of this process, b"" if it does not use `multiprocessing`."""
    module = sys.modules.get("multiprocessing.process")
    return b"" if module is None else bytes(module.current_process().authkey)


def introduce(passport: Passport | None = None, tracker: int | None = None) -> None:
    """Let this process be a child of its parent as those of `multiprocessing` are.

    Args:
        passport: what it is told of itself.
        tracker: what the resource tracker of the parent is told through.
    """
    if passport is not None:
        when_loaded("multiprocessing.process", "name", partial(_name_process, passport))
    if tracker is not None:
        when_loaded("multiprocessing.resource_tracker", "tracker", partial(_share_tracker, tracker))


def be_trusted(secret: bytes) -> None:
    """Let this process, which has its own place among others, know the secret of the caller."""
    if secret:
        when_loaded("multiprocessing.process", "secret", partial(_set_secret, secret))


def _set_secret(secret: bytes) -> None:
    module: Any = sys.modules["multiprocessing.process"]
    if secret:
        module.current_process().authkey = secret


def _name_process(passport: Passport) -> None:
    """Set name, secret and parent of the process."""
    module: Any = sys.modules["multiprocessing.process"]
    module.current_process().name = passport.name
    _set_secret(passport.secret)
    with contextlib.suppress(AttributeError, OSError):  # where processes have no descriptors the parent is not known
        sentinel = os.pidfd_open(passport.parent)
        module._parent_process = module._ParentProcess("MainProcess", passport.parent, sentinel)  # noqa: SLF001 - what its own children do, too


def _share_tracker(descriptor: int) -> None:
    """Let the tracker of this process be the one behind a descriptor."""
    module: Any = sys.modules["multiprocessing.resource_tracker"]
    module._resource_tracker._fd = descriptor  # noqa: SLF001 - what spawned children of multiprocessing do, too
    module._resource_tracker._pid = None  # noqa: SLF001 - likewise


class TrackerRelay:
    """What the children of one pool tell the resource tracker, on its way to that of this process.

    It is started with the first word. A process that ends before the caller does, as local ranks do, has none: what
    its children made must last.

    Attributes:
        descriptor: readable when there is something to hand on.
        writer: what children get.
    """

    def __init__(self) -> None:
        self.descriptor, self.writer = os.pipe()
        os.set_blocking(self.descriptor, False)
        self._rest = b""

    def forward(self) -> None:
        """Hand on what has come."""
        with contextlib.suppress(BlockingIOError):
            *lines, self._rest = (self._rest + os.read(self.descriptor, 1 << 16)).split(b"\n")
            if not lines or _keeps_nothing:
                return
            from multiprocessing.resource_tracker import ensure_running, getfd

            ensure_running()
            for line in lines:
                os.write(cast("int", getfd()), line + b"\n")

    def close(self) -> None:
        """Hand on what is left, and let go of it."""
        self.forward()
        os.close(self.descriptor)
        os.close(self.writer)


_keeps_nothing: list[bool] = []


def keep_nothing() -> None:
    """Note that this process ends before those whose resources its children make: it has no tracker for them."""
    _keeps_nothing.append(True)
