"""Results as they are handed over to the consumer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from papympi.model.item import Failure, Key
from papympi.model.tracebacks import tell_traceback
from papympi.transport.bitmap import FULL
from papympi.transport.payload import Unsendable


@dataclass(slots=True)
class Delivery:
    """Results that go to the consumer together: of one target, siblings without holes between their positions.

    Attributes:
        node: the target's name.
        prefix: the key of their parent.
        first: position of the first among its siblings; -1: the one result of the whole stream: its key is the prefix.
        values: the values.
        valid: which are there.
        is_spoiled: some did not come out of their pickle; what stands for them is `Unsendable`.
    """

    node: str
    prefix: Key
    first: int
    values: list[Any]
    valid: int = FULL
    is_spoiled: bool = False

    def present(self) -> list[Any]:
        """Return the values that are there."""
        if self.valid == FULL:
            return self.values
        return [value for at, value in enumerate(self.values) if self.valid >> at & 1]

    def keyed(self) -> Iterator[tuple[Key, Any]]:
        """Yield (key, value) of those that are there."""
        if self.first < 0:
            yield self.prefix, self.values[0]
            return
        for at, value in enumerate(self.values):
            if self.valid == FULL or self.valid >> at & 1:
                yield (*self.prefix, self.first + at), value

    def replace_spoiled(self) -> list[Failure]:
        """Put failures in the places of values that did not come out of their pickle, and return them."""
        failures = []
        for key, value in self.keyed():
            if type(value) is Unsendable:
                error = value.explain()
                failure = Failure(self.node, key, error, tell_traceback(error), worker="the runner")
                self.values[key[-1] - self.first if self.first >= 0 else 0] = failure
                failures.append(failure)
        return failures
