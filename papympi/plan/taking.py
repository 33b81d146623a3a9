"""What a node's call is given: which stream or resource goes where in the call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from papympi.plan.adapters import Slot
from papympi.plan.plan import Stream
from papympi.plan.program import Argument, ResourceSpec
from papympi.plan.wiring import Binding, Wiring


@dataclass(eq=False, slots=True)
class Taken:
    """One value that a node's call is given: where it goes in the call, and the stream or resource it is."""

    place: int | str
    stream: Stream | None = None
    resource: ResourceSpec | None = None


def take(wiring: Wiring, streams: Mapping[str, Stream], binding: Binding) -> Taken:
    """Return what a binding gives."""
    if binding.kind == "resource":
        resource = ResourceSpec(binding.name, wiring.graph.resources[binding.name].function)
        return Taken(binding.place, resource=resource)
    return Taken(binding.place, streams[binding.name])


def make_argument(taken: Taken, streams: list[Stream]) -> Argument:
    """Return one argument of a call."""
    column = None if taken.stream is None else streams.index(taken.stream)
    return Argument(column, taken.place if isinstance(taken.place, str) else None, taken.resource)


def find_distinct(taken: Iterable[Taken]) -> list[Stream]:
    """Return the streams among what is taken, each once."""
    return list(dict.fromkeys(each.stream for each in taken if each.stream is not None))


def find_slots(taken: list[Taken], streams: list[Stream]) -> tuple[Slot, ...]:
    """Return where the values of a row go: positions ascending, then keywords."""
    slots = [(each.place, streams.index(each.stream)) for each in taken if each.stream is not None]
    return tuple(sorted(slots, key=lambda slot: (isinstance(slot[0], str), slot[0] if isinstance(slot[0], int) else 0)))
