"""What the tasks of one worker share."""

from __future__ import annotations

from papympi.model.item import Failure
from papympi.workers.evaluation.attempt import Attempt
from papympi.workers.evaluation.location import FixedLocation
from papympi.workers.evaluation.progress import ProgressRecord
from papympi.workers.evaluation.resources import Resources


class WorkerContext:
    """What every task of one worker shares.

    Attributes:
        attempt: calls a function and returns (result, error).
        label: what failures call the worker.
        progress: where to say what it is at, so that its death names a culprit.
        outside: the place of what it does for no item.
        sends: results leave this process: what cannot be pickled fails.
        memory: how many bytes it may allocate; 0: as many as there are.
        resources: the worker's resources.
        chunks: how many children that do not leave a task are taken at a time, by the numbers of stage and scatter.
        known: classes of which a value was seen to come out of its pickle.
    """

    def __init__(
        self,
        attempt: Attempt,
        label: str,
        progress: ProgressRecord,
        outside: FixedLocation,
        *,
        sends: bool,
        memory: int = 0,
    ) -> None:
        self.attempt = attempt
        self.label = label
        self.progress = progress
        self.outside = outside
        self.sends = sends
        self.memory = memory
        self.resources = Resources(attempt, progress.slots, outside)
        self.chunks: dict[tuple[int, int], int] = {}
        self.known: set[type] = {
            int,
            float,
            complex,
            bool,
            str,
            bytes,
            bytearray,
            tuple,
            list,
            dict,
            set,
            type(None),
            Failure,
        }
