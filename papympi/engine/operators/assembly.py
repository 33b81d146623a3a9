"""Where a plan becomes operators: the one place in the engine that asks which kind a step is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count

from papympi.contracts import History, Pool, Store
from papympi.engine.admission import Accounts, Admission
from papympi.engine.index.segment import Segment
from papympi.engine.index.tables import Layout
from papympi.engine.operators.feed import Feed
from papympi.engine.operators.fold import FoldOperator
from papympi.engine.operators.gather import GatherOperator
from papympi.engine.operators.group import GroupOperator
from papympi.engine.operators.map import MapOperator
from papympi.engine.operators.protocol import Operator, RunContext
from papympi.engine.operators.scatter import ScatterOperator
from papympi.engine.operators.source import SourceOperator
from papympi.engine.recording import Recorder
from papympi.engine.resume import Replay
from papympi.engine.retries import RetryQueue
from papympi.engine.routing import Router
from papympi.engine.sizes import LARGEST, BatchSizes, ItemSizes
from papympi.engine.tally import Tally
from papympi.plan.plan import Plan, Step

KINDS: dict[str, type[Operator]] = {
    "map": MapOperator,
    "scatter": ScatterOperator,
    "fold": FoldOperator,
    "gather": GatherOperator,
    "group": GroupOperator,
}


def make_context(
    plan: Plan,
    pools: Mapping[str, Pool],
    tally: Tally,
    bound: int | None,
    bytes_bound: int,
    *,
    store: Store | None,
    history: History | None,
    ordered: bool,
) -> RunContext:
    """Return the parts of the engine that operators use.

    Args:
        plan: what runs.
        pools: by name, each open.
        tally: the counts.
        bound: how many items may be in the graph at once; `None`: enough to keep the pools busy.
        bytes_bound: about how many bytes they may have.
        store: keeps what comes home.
        history: what is known of an earlier attempt.
        ordered: results are handed over in input order.
    """
    accounts = Accounts([0] * len(plan.spaces), [0] * len(plan.spaces))
    layout = Layout(plan, accounts.retire, ordered=ordered)
    item_sizes = ItemSizes(plan, bytes_bound)
    recorder = Recorder(plan, store, pools) if store is not None else None
    return RunContext(
        plan=plan,
        layout=layout,
        accounts=accounts,
        admission=Admission(plan, accounts, item_sizes, bound or 1),
        batch_sizes=BatchSizes(plan, pools, bound or LARGEST),
        item_sizes=item_sizes,
        router=Router(layout, recorder, ordered=ordered),
        retries=RetryQueue(tally.retried),
        numbers=count(1),
        tally=tally,
        recorder=recorder,
        replay=Replay(plan, history) if store is not None and history is not None else None,
    )


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
