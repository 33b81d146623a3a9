"""Where a plan becomes operators: the one place in the engine that asks which kind a step is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from papympi.engine.feed import Feed
from papympi.engine.index.segment import Segment
from papympi.engine.operators.fold import FoldOperator
from papympi.engine.operators.gather import GatherOperator
from papympi.engine.operators.group import GroupOperator
from papympi.engine.operators.map import MapOperator
from papympi.engine.operators.protocol import Operator, RunContext
from papympi.engine.operators.scatter import ScatterOperator
from papympi.engine.operators.source import SourceOperator
from papympi.plan.plan import Step

KINDS: dict[str, type[Operator]] = {
    "map": MapOperator,
    "scatter": ScatterOperator,
    "fold": FoldOperator,
    "gather": GatherOperator,
    "group": GroupOperator,
}


def make_operators(context: RunContext) -> list[Operator]:
    """Return an operator for each step of the plan but the sources."""
    return [KINDS[step.kind](step, context) for step in context.plan.steps if not step.is_source]


def open_sources(
    context: RunContext, feeds: Mapping[Step, Feed], shard: tuple[int, int] | None, wake: Callable[[], None]
) -> tuple[Segment, list[SourceOperator]]:
    """Return the unit segment and the sources in it; all other operators have been made.

    Args:
        context: the engine's parts.
        feeds: for each source where its rows come from.
        shard: (number, of how many): only this share of the rows is there; `None`: all are.
        wake: ends the engine's wait, from any thread.
    """
    unit = Segment(context.layout.spaces[context.plan.spaces[0]], None, 0, 1)
    unit.emitted, unit.closed = 1, True
    sources = [
        SourceOperator(step, context, feeds[step], unit, shard, wake) for step in context.plan.steps if step.is_source
    ]
    return unit, sources
