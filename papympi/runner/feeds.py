"""Where the items of a run come from: the iterables given by the caller, and the graph's sources."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from papympi.engine.operators.feed import Feed, unequal_lengths
from papympi.errors import InputError
from papympi.plan.plan import Plan, Step
from papympi.plan.program import open_source
from papympi.runner.readers import choose_reader
from papympi.workers.evaluation.async_blocking import AsyncSource
from papympi.workers.evaluation.attempt import attempt


def make_feeds(plan: Plan, given: Mapping[str, Iterable[Any]]) -> tuple[dict[Step, Feed], int | None]:
    """Return for each source step its feed, and how many rows there are if that is known."""
    feeds: dict[Step, Feed] = {}
    lengths: list[int | None] = []
    for step in plan.steps:
        if step.kind != "source":
            continue
        names = [stream.node for stream in step.outputs]
        sized: dict[str, int] = {}
        makers: list[Callable[[], Iterable[Any]]] = []
        interrupts: list[Callable[[], None]] = []
        origins: list[Any] = []
        for name in names:
            if name in given:
                values = _check_input(name, given[name])
                makers.append(partial(iter, values))
                origins.append(values)
                if hasattr(values, "__len__"):
                    sized[name] = len(values)
            else:
                call = plan.origins[name]
                resources = [each.resource.function for each in call.arguments if each.resource is not None]
                origins += [call.function, *resources]
                if call.awaits:
                    source = AsyncSource(call.function, attempt)
                    call = replace(call, function=source.rows)
                    interrupts.append(source.interrupt)
                makers.append(partial(open_source, call) if call.arguments else call.function)
        _compare_lengths(sized)
        lengths.append(min(sized.values(), default=None) if len(sized) == len(names) else None)
        reader = "thread" if interrupts else choose_reader(origins)
        feeds[step] = Feed(names, makers, reader == "thread", interrupts, tied=reader == "caller")
    known = [length for length in lengths if length is not None]
    return feeds, max(known) if known and len(known) == len(lengths) else None


def _check_input(name: str, values: Any) -> Any:
    if isinstance(values, str | bytes):
        raise InputError(f"input {name!r} is a {type(values).__name__}, not an iterable of items: put it into a list")
    if not hasattr(values, "__iter__") and not hasattr(values, "__getitem__"):
        raise InputError(f"input {name!r} is {values!r}, which cannot be iterated over: put it into a list")
    return values


def _compare_lengths(sized: Mapping[str, int]) -> None:
    shortest = min(sized.values(), default=0)
    longer = [name for name, length in sized.items() if length > shortest]
    if longer:
        ended = [name for name, length in sized.items() if length == shortest]
        lengths = ", ".join(f"{name} {length}" for name, length in sized.items())
        raise InputError(f"{unequal_lengths(ended, longer, shortest)} ({lengths})")
