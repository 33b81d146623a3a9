"""Where the code of a task is: which of its items is at work, looked up when somebody asks."""

from __future__ import annotations

from collections.abc import Sequence

from papympi.errors import StateError
from papympi.model.item import Key
from papympi.workers.evaluation.calls import Calls
from papympi.workers.evaluation.progress import COUNT, INDEX, NODE
from papympi.workers.evaluation.recorder import OutputRecorder


class TaskLocation:
    """The place of the code that a task runs.

    In a scatter the key is that of the item that the generator was made for, in a fold that of the item being folded.

    Attributes:
        positions: of the items that a vectorized function has been given.
    """

    __slots__ = ("calls", "positions", "recorder", "seed")

    def __init__(self, calls: Calls, recorder: OutputRecorder, seed: int) -> None:
        self.calls = calls
        self.recorder = recorder
        self.seed = seed
        self.positions: Sequence[int] = ()

    def locate(self, number: int = 0) -> tuple[str, Key | None]:
        """Return the node and the key of the item at work; of a vectorized function the item with that number."""
        calls, slots = self.calls, self.calls.worker.progress.slots
        node, position, count = slots[NODE], slots[INDEX], slots[COUNT]
        if node < 0:  # arguments are being unpickled
            return calls.stage.calls[0].node, None
        name = calls.stage.calls[node].node
        if position < 0:  # results are being pickled
            return name, None
        if number:
            if not 0 <= number < count:
                raise StateError(f"node {name!r} has been given {count} items at once; there is no number {number}")
            position = self.positions[number]
        return name, calls.key_of(position)
