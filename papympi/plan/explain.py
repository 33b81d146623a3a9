"""A plan in words: what is evaluated together, where, and why every stage ends where it does."""

from __future__ import annotations

from collections.abc import Sequence

from papympi.plan.plan import Plan, Step

SHOWN = 8
"""How many nodes of one stage are named."""


def explain(plan: Plan) -> str:
    """Return the plan as text: a table of its steps, then the reason for every boundary."""
    whole = {number for number, stage in plan.program.stages.items() if stage.inner}
    steps = [_describe(step, encloses=step.number in whole) for step in plan.steps]
    rows = [("step", "does", "nodes", "pool", "stride", "depth"), *steps]
    stages = len(plan.program.stages)
    pools = f" on {', '.join(plan.pools)}" if plan.pools else ""
    lines = [f"{stages} {'stage' if stages == 1 else 'stages'}{pools}", "", *_align(rows), ""]
    lines.append(f"targets: {', '.join(target.node for target in plan.targets)}")
    if plan.boundaries:
        reasons = [(f"{each.producer} | {each.consumer}", each.reason) for each in plan.boundaries]
        lines += ["", "why stages end:", *(f"  {line}" for line in _align(reasons))]
    lines += [f"warning: {text}" for text in plan.warnings]
    return "\n".join(lines) + "\n"


def _describe(step: Step, *, encloses: bool) -> tuple[str, ...]:
    """Return the cells of a step's row."""
    names = list(step.nodes)
    nodes = " + ".join(names[:SHOWN]) + (f" + {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    inner = [stream.node for stream in step.outputs if stream.inner]
    if inner and len(names) == 1 and len(step.outputs) == 1:
        nodes = inner[0]
    does = f"group by {step.size}" if step.kind == "group" else "scatter to gather" if encloses else step.kind
    stride = "" if step.pool is None else str(step.stride)
    depth = 1 if step.kind == "source" else step.space.depth
    return (str(step.number), does, nodes, step.pool or "", stride, str(depth))


def _align(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the rows as lines, their cells one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
