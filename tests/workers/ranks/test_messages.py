"""Messages between ranks: each comes out of its parts as it went in."""

import pytest

from papympi.errors import PoolError, WorkerLost
from papympi.plan.program import Program
from papympi.transport.packed import Packed, PackedFile
from papympi.transport.records import Logs
from papympi.transport.task import Lost
from papympi.workers.ranks import messages
from papympi.workers.ranks.messages import from_parts, to_parts

SAMPLES = [
    messages.OpenProgram("me", PackedFile("path", b"mark"), messages.Isolation("mpi", ["mpi[0]"], Program())),
    messages.OpenProgram("me", Packed(b"body", [b"buffer"]), None),
    messages.EvaluateTask((1, 2, (3,))),
    messages.ForwardTask(1, 2, 3, 4, 5, [b"parts"]),
    messages.BeginNothing(),
    messages.ClosePool(hasty=True),
    messages.ServeExecutor([1, 2]),
    messages.LeaveWorld(hasty=False),
    messages.RanksStarted([("host", 7)]),
    messages.ProgramOpened(None),
    messages.ProgramMissing(),
    messages.OpeningFailed("why"),
    messages.TaskEvaluated((1,)),
    messages.OutcomeForwarded([b"parts"]),
    messages.LogsForwarded(Logs("worker")),
    messages.ChildLost(Lost(1, WorkerLost("worker", "reason"))),
    messages.ChildrenFailed(PoolError("gone")),
    messages.PoolClosed(),
    messages.RankLeft(),
]


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_round_trip(message):
    came = from_parts(to_parts(message))
    assert type(came) is type(message)
    assert repr(came) == repr(message)


def test_every_message_has_a_sample():
    kinds = {*messages.Order.__args__, *messages.Answer.__args__}
    assert kinds == {type(message) for message in SAMPLES}
