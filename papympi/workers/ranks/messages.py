"""The messages between rank 0 and the ranks that work for it, and how they are put into parts that a wire carries.

Orders go to a rank, answers come from it. On the wire a message is a tuple: the number of its class, then its fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from papympi.errors import PoolError, ShippingError
from papympi.plan.program import Program
from papympi.transport.packed import Packed, PackedFile
from papympi.transport.payload import Buffer
from papympi.transport.records import Logs
from papympi.transport.sealed import decode, encode
from papympi.transport.task import KeyRun, Lost
from papympi.workers.children.renewal import NEVER, Renewal

Parts = Sequence[Any]
"""Something sealed: pickle buffers where it is sent, other buffers where it has come."""


class Isolation(NamedTuple):
    """How a rank isolates the tasks of a pool.

    Attributes:
        names: how messages name the children.
        outline: what their supervisor has to know of the program.
        memory: how many bytes each may allocate; 0: as many as there are.
        shared: how many bytes of shared memory big buffers may take on this host; `None`: the usual part.
        sharers: how many ranks of the pool are on this host, which divide it.
        renewal: when another child takes the place of one.
    """

    pool: str
    names: Sequence[str]
    outline: Program
    memory: int = 0
    shared: int | None = None
    sharers: int = 1
    renewal: Renewal = NEVER


class OpenProgram(NamedTuple):
    """Be ready for the tasks of a program: this one, or the one that another rank of this host has.

    Attributes:
        label: how failures name the rank, if it evaluates itself.
        program: the program, or where it is.
        isolation: how to isolate; `None`: evaluate yourself.
        door: where a template of this host is that has loaded the script; "": load it yourself.
        secret: by which processes of the caller know each other; b"": it has none.
    """

    label: str
    program: Packed | PackedFile
    isolation: Isolation | None
    door: str = ""
    secret: bytes = b""


class EvaluateTask(NamedTuple):
    """Evaluate a task yourself; `wire` is what `Task.to_wire` has made."""

    wire: tuple[Any, ...]


class ForwardTask(NamedTuple):
    """Hand a sealed task to a child.

    Attributes:
        deaths: how many children of this number rank 0 knows to be dead.
        parts: all of it.
        keys: of its items.
    """

    child: int
    deaths: int
    task: int
    kind: int
    stage: int
    parts: Parts
    keys: Sequence[KeyRun] = ()


class BeginNothing(NamedTuple):
    """Finish what is at work, and say of the rest that it has not begun."""


class ClosePool(NamedTuple):
    """Finish what is at work, or kill it if in haste; forget the rest, and the program."""

    hasty: bool


class ServeExecutor(NamedTuple):
    """Serve mpi4py's executor with these ranks."""

    ranks: Sequence[int]


class LeaveWorld(NamedTuple):
    """As `ClosePool`, and end."""

    hasty: bool


class RanksStarted(NamedTuple):
    """The first rank of local ones says where all are: host and process id of each."""

    hosts: list[tuple[str, int]]


class ProgramOpened(NamedTuple):
    """The program is loaded, or children load it.

    Attributes:
        place: where others of this host find it, if they can.
        door: where others of this host get a copy of the template that has loaded the script; "": there is none.
        crowd: what the summary has to say of children that have too few CPUs; "": nothing.
    """

    place: PackedFile | None
    door: str = ""
    crowd: str = ""


class ProgramMissing(NamedTuple):
    """The program is not where it was said to be."""


class OpeningFailed(NamedTuple):
    """The program cannot be loaded, or there are no children for it."""

    reason: str


class TaskEvaluated(NamedTuple):
    """The rank has evaluated a task; `wire` is what `Outcome.to_wire` has made."""

    wire: tuple[Any, ...]


class OutcomeForwarded(NamedTuple):
    """A child has evaluated a task: its sealed outcome."""

    parts: Parts


class LogsForwarded(NamedTuple):
    """What a child has printed and logged."""

    logs: Logs


class ChildLost(NamedTuple):
    """A child has died and been replaced."""

    lost: Lost


class ChildrenFailed(NamedTuple):
    """There are no children to be had any more: the pool is closed."""

    error: PoolError | ShippingError


class PoolClosed(NamedTuple):
    """The answer to `ClosePool`."""


class RankLeft(NamedTuple):
    """The answer to `LeaveWorld`, and the last message."""


Order = OpenProgram | EvaluateTask | ForwardTask | BeginNothing | ClosePool | ServeExecutor | LeaveWorld
Answer = (
    RanksStarted | ProgramOpened | ProgramMissing | OpeningFailed | TaskEvaluated | OutcomeForwarded | LogsForwarded
    | ChildLost | ChildrenFailed | PoolClosed | RankLeft
)  # fmt: skip

_CLASSES: Final[tuple[type[Any], ...]] = (*Order.__args__, *Answer.__args__)
_NUMBERS: Final = {kind: number for number, kind in enumerate(_CLASSES)}


def to_parts(message: Order | Answer) -> list[Buffer]:
    """Return the parts of a message; buffers are not copied and must stay as they are until they are sent."""
    return encode((_NUMBERS[type(message)], *message))


def from_parts(parts: Sequence[Buffer]) -> Any:
    """Return the order or answer that consists of `parts`; its buffers become its own."""
    values = decode(parts)
    return tuple.__new__(_CLASSES[values[0]], values[1:])
