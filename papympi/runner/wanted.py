"""What a run has only if somebody wants it, and what is not imported otherwise."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from papympi.model.graph import Graph
from papympi.plan.plan import Plan
from papympi.runner.keeping import Keeping

if TYPE_CHECKING:
    from papympi.runner.keeper import Keeper


def make_keeper(
    journal: str | Path | Keeping | None, plan: Plan, graph: Graph, given: Collection[str], *, resume: bool
) -> Keeper | None:
    """Return what keeps a run; `None` if nobody wants it kept, and then nothing that keeps one is imported.

    Args:
        journal: the run directory, or how the run is kept.
        plan: what is run.
        graph: as the user has declared it.
        given: names of the inputs that the caller gives.
        resume: go on from what is there.

    Raises:
        OptionError: shares of the inputs were asked for, and a node needs all of them.
    """
    if journal is None:
        return None
    from papympi.runner.keeper import start_keeping

    keeping = journal if isinstance(journal, Keeping) else Keeping(folder=Path(journal), resume=resume)
    return start_keeping(keeping, plan, graph, given)
