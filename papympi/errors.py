"""Every error that papympi raises, in one tree under `PapympiError`, and its warnings under `PapympiWarning`."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Final

NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says of a file that can take no more. A terminal that is gone is something else: nobody listens."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about a wrong name: the closest right one, if one is close, else nothing."""
    close = find_close(name, known)
    return f"; did you mean {close!r}?" if close else ""


def find_close(name: str, known: Iterable[str]) -> str:
    """Return the right name that is closest to a wrong one, "" if none is close."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, sorted(known), n=1)), "")


class PapympiError(Exception):
    """Whatever papympi itself has to say; the command line turns it into one line and exit code 2."""


class GraphError(PapympiError):
    """A graph that cannot run: a cycle, a missing input, an impossible join, a name that is taken."""


class LoadError(PapympiError):
    """A pipeline file or module that cannot be loaded.

    Attributes:
        traceback: the user's part of the traceback, if its code raised.
    """

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message, traceback)
        self.traceback = traceback

    def __str__(self) -> str:
        return str(self.args[0])


class PapympiWarning(UserWarning):
    """Whatever papympi warns of: something that runs, and may not do what it was meant to do."""


class OptionError(PapympiError, TypeError):
    """An option that does not exist or has an impossible value."""


class InputError(PapympiError):
    """Inputs that are missing, unknown or of unequal length."""


class PoolError(PapympiError):
    """A pool that is unknown, cannot be opened, or broke beyond repair."""


class SetupError(PoolError):
    """A function that every worker calls before its first item, which raised there.

    Attributes:
        setup: its name.
        worker: the worker's label.
        text: what it raised, with the remote traceback.
    """

    def __init__(self, setup: str, worker: str, text: str) -> None:
        super().__init__(setup, worker, text)
        self.setup = setup
        self.worker = worker
        self.text = text

    def __str__(self) -> str:
        return f"setup {self.setup!r} failed on worker {self.worker}:\n{self.text.rstrip()}"


class ResourceError(PoolError):
    """A resource that no worker of a pool could make, so that the run is of no use.

    Attributes:
        resource: its name.
        pool: the pool's name.
        text: what it raised, in one line.
    """

    def __init__(self, resource: str, pool: str, text: str) -> None:
        super().__init__(resource, pool, text)
        self.resource = resource
        self.pool = pool
        self.text = text

    def __str__(self) -> str:
        return f"resource {self.resource!r} could not be made by any worker of pool {self.pool!r}: {self.text}"


class LaunchError(PoolError):
    """Ranks that could not be started: no MPI, no launcher, or a launcher that does not fit."""


class ShippingError(PapympiError):
    """Something that no pickler could carry to a worker; says which object."""


class PluginError(PapympiError):
    """A plugin that could not be loaded, or a hook of one that raised."""


class JournalError(PapympiError):
    """A run directory or journal that cannot be used: in use, not private, of other code or other inputs, or full."""


class StateError(PapympiError):
    """A run that was asked for something it cannot do any more, or not yet."""


class WorkerLost(PapympiError):
    """A worker that died while it was at an item.

    Attributes:
        worker: the worker's label, e.g. `processes[3] pid 4711`.
        reason: what ended it, e.g. `SIGSEGV` or `exit code 3`.
    """

    def __init__(self, worker: str, reason: str) -> None:
        super().__init__(worker, reason)
        self.worker = worker
        self.reason = reason

    def __str__(self) -> str:
        return f"worker {self.worker} was lost: {self.reason}"


class ItemTimeout(PapympiError, TimeoutError):
    """An item that took longer than its node's `timeout`.

    Attributes:
        seconds: the time-out.
        worker: the worker that could not be interrupted; "" if it could.
        how: what became of that worker.
    """

    def __init__(self, seconds: float, worker: str = "", how: str = "") -> None:
        super().__init__(seconds, worker, how)
        self.seconds = seconds
        self.worker = worker
        self.how = how

    def __str__(self) -> str:
        end = f"; worker {self.worker} could not be interrupted and was {self.how}" if self.worker else ""
        return f"it took longer than {self.seconds:g} s{end}"


class RemoteError(PapympiError):
    """Stands in for an exception that could not travel home from its worker.

    Attributes:
        kind: the qualified name of the exception's class.
        text: what `str()` made of it.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


class FailuresError(PapympiError):
    """A run of which more has failed than `max_failures` lets pass; the command line turns it into exit code 1.

    Attributes:
        failed: how many calls.
        done: of how many, of the node that failed too often, or of all nodes.
        text: the same in words, with the first failures, in one line.
    """

    def __init__(self, failed: int, done: int, text: str) -> None:
        super().__init__(failed, done, text)
        self.failed = failed
        self.done = done
        self.text = text

    def __str__(self) -> str:
        return self.text


class NodeError(PapympiError):
    """An item failed and the run was told to stop at the first failure.

    Attributes:
        node: the node's name.
        key: the item's key.
        text: the failure as the worker told it, with the remote traceback.
    """

    def __init__(self, node: str, key: tuple[int, ...], text: str) -> None:
        super().__init__(node, key, text)
        self.node = node
        self.key = key
        self.text = text

    def __str__(self) -> str:
        return self.text
