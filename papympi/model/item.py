"""What travels along edges: keys, results, failures, and the value that drops an item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from papympi.errors import NodeError, RemoteError
from papympi.model.attempt import attempt
from papympi.model.telling import describe_kind, tell, tell_error

Key = tuple[int, ...]


class _Drop:
    """The type of `DROP`; one instance a process, whatever pickles it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "papympi.DROP"

    def __reduce__(self) -> str:
        return "DROP"


DROP: Final = _Drop()
"""Return it from a node to drop the item: joins with it vanish, gathers skip it."""


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """An item that has an error instead of a value; it stands in the item's place.

    Attributes:
        node: name of the node whose call failed.
        key: key of that call.
        error: the exception, or a `RemoteError` where it could not travel.
        traceback: the formatted traceback from the worker.
        input: bounded `repr` of what the function was given.
        worker: where it happened: pool, host, process id, rank.
        attempts: how often the item was tried.
        target: when it is delivered: the target in whose place it stands.
        place: then the key in whose place it stands; before, that of the call, which may be longer than the item's.
    """

    node: str
    key: Key
    error: BaseException
    traceback: str = ""
    input: str = ""
    worker: str = ""
    attempts: int = 1
    target: str = ""
    place: Key = ()

    def __reduce__(self) -> tuple[Any, ...]:
        told = (self.traceback, self.input, self.worker, self.attempts, self.target, self.place)
        return _revive, (self.node, self.key, seal_error(self.error), *told)

    def to_error(self) -> NodeError:
        """Return the `NodeError` that `errors="raise"` raises, chained to the original exception."""
        where = f" on {self.worker}" if self.worker else ""
        given = f"\n  input: {self.input}" if self.input else ""
        text = f"node {self.node!r} failed at item {self.key}{where}: {tell_error(self.error)}{given}"
        if self.traceback:
            text += f"\n\n{self.traceback.rstrip()}"
        error = NodeError(self.node, self.key, text)
        error.__cause__ = self.error
        return error


@dataclass(frozen=True, slots=True)
class Result:
    """One value of one target: the node's name, the item's key, the value."""

    node: str
    key: Key
    value: Any


_carriers: list[Callable[[BaseException], Any]] = []


def carry_errors_with(carry: Callable[[BaseException], Any]) -> None:
    """Let a function stand by where pickle refuses an exception: it returns what is pickled instead, or `None`."""
    _carriers.append(carry)


def make_portable(error: BaseException) -> Any:
    """Return the exception if a pickle of it comes back as the same kind, else what stands for it in a pickle."""
    copy, refusal = attempt(_copy, error)
    if refusal is None:
        return error if type(copy) is type(error) else _stand_in(error)
    carried = (attempt(carry, error)[0] for carry in _carriers)
    return next((each for each in carried if each is not None), _stand_in(error))


def _copy(error: BaseException) -> Any:
    """Return what comes out of a pickle of `error`."""
    import pickle

    return pickle.loads(pickle.dumps(error, 5))


def _stand_in(error: BaseException) -> RemoteError:
    return RemoteError(describe_kind(error), tell(error))


SealedError = tuple[str, str, bytes | None]
"""An exception on its way: its kind, what it says, and a pickle of it, if there is one."""


def seal_error(error: BaseException) -> SealedError:
    """Return what a pickle has of an exception; whoever opens it may not be able to make that again."""
    import pickle

    body, _ = attempt(lambda: pickle.dumps(make_portable(error), 5))
    return describe_kind(error), tell(error), body


def open_error(sealed: SealedError) -> BaseException:
    """Return the exception that was sealed, or what stands for it where it cannot be made."""
    import pickle

    kind, text, body = sealed
    error, _ = attempt(pickle.loads, body)
    return error if isinstance(error, BaseException) else RemoteError(kind, text)


def _revive(node: str, key: Key, sealed: SealedError, *told: Any) -> Failure:
    return Failure(node, key, open_error(sealed), *told)
