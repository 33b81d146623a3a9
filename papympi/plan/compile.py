"""From a graph to a plan: wire it, lay out its spaces, expand nodes into parts, fuse parts into steps."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, cast

from papympi.errors import GraphError, InputError, OptionError, did_you_mean
from papympi.model.graph import Graph, GraphWarning
from papympi.model.options import is_stride
from papympi.model.telling import clean
from papympi.plan.boundaries import find_boundaries
from papympi.plan.enclose import describe_inner, enclose
from papympi.plan.expand import Expansion, NodeSettings, Part, expand
from papympi.plan.fuse import FusedGroup, fuse
from papympi.plan.layout import check_layout, lay_out
from papympi.plan.plan import Plan, Space, Step, Stream, Stride
from papympi.plan.program import Argument, Call, Program, ResourceSpec, Stage, StageKind
from papympi.plan.taking import make_argument, take
from papympi.plan.wiring import Wiring, merge_problems, wire

ASYNC_POOL: Final = "asyncio"
"""The pool of async nodes that name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """What a run decides about a plan, apart from the graph.

    Attributes:
        default_pool: for nodes that name none and are not async.
        pools: pool by node name, or for all nodes under "*"; they overrule what nodes say.
        strides: stride by node name or "*", likewise.
        fusion: nodes may share stages.
        journal: results of targets are kept, as those of checkpoints are.
        known_pools: names of the pools there are; `None`: any will do.
        by_value: modules whose functions travel by value.
        path: folders that workers add to `sys.path`.
        seed: from which every item gets its own.
        loads: the module of the pipeline, which the command line has loaded.
    """

    default_pool: str = "processes"
    pools: Mapping[str, str] = field(default_factory=dict)
    strides: Mapping[str, Stride] = field(default_factory=dict)
    fusion: bool = True
    journal: bool = False
    known_pools: Collection[str] | None = None
    by_value: tuple[str, ...] = ("__main__",)
    path: tuple[str, ...] = ()
    seed: int = 0
    loads: str = ""


def compile_plan(
    graph: Graph,
    targets: Sequence[str] | None = None,
    given: Collection[str] | None = None,
    settings: PlanSettings | None = None,
) -> Plan:
    """Return the plan of a run.

    Args:
        graph: what to run.
        targets: names of the nodes to deliver; `None`: all sinks, in the order of definition.
        given: names of the inputs that the caller gives; one that names a node takes its place. `None`: whatever is
            needed is given.
        settings: what the run decides.

    Raises:
        GraphError: the graph cannot run; says all that is wrong.
        InputError: an input is missing or unknown.
        OptionError: a pool or stride for a node that does not exist, or an impossible stride.
    """
    settings = settings or PlanSettings()
    wiring = wire(graph, targets, given or ())
    graph = wiring.graph
    if given is not None:
        _check_inputs(wiring, given)
    _check_choices(wiring, settings)
    settings_of = _choose_node_settings(wiring, settings)
    layout = lay_out(wiring)
    check_layout(layout, wiring, {name: each.pool for name, each in settings_of.items()}, settings.known_pools)
    for text in layout.warnings:
        warnings.warn(clean(text), GraphWarning, stacklevel=2)
    expansion = expand(wiring, layout, settings_of)
    enclosure = enclose(wiring, expansion, settings_of)
    fusion = fuse(enclosure.parts, fusion=settings.fusion)
    if fusion.problems:
        raise GraphError(merge_problems(fusion.problems))
    groups = fusion.list_groups()
    for name in wiring.targets:
        expansion.streams[name].target = True
    for name in settings_of:
        expansion.streams[name].checkpoint = graph.nodes[name].options.checkpoint
    setups = tuple(ResourceSpec(each.name, each.function) for each in graph.setups.values())
    program = Program({}, settings.by_value, settings.path, settings.seed, setups, loads=settings.loads)
    steps = _make_steps(groups, program)
    return Plan(
        steps=steps,
        spaces=_number(layout.spaces, enclosure.spaces),
        targets=[expansion.streams[name] for name in wiring.targets],
        sources=tuple(stream.node for step in steps if step.kind == "source" for stream in step.outputs),
        program=program,
        origins=_find_origins(wiring, expansion),
        boundaries=find_boundaries(wiring, expansion, fusion, settings_of, enclosure.owners),
        warnings=tuple(layout.warnings),
    )


def _check_inputs(wiring: Wiring, given: Collection[str]) -> None:
    """Refuse inputs that are not given, and those that nobody takes."""
    graph = wiring.graph
    possible = [*graph.nodes, *wire(graph, None, given).inputs]
    for name in given:
        if name not in possible:
            reason = _find_constant(graph, name) or f"no node takes it{did_you_mean(name, possible)}"
            raise InputError(f"{name!r} cannot be given as an input: {reason}")
        if name in graph.nodes and name not in wiring.inputs:
            raise InputError(
                f"{name!r} cannot be given as an input: it is {graph.nodes[name].label}, and nothing that is "
                "wanted takes what it makes; give what it takes, or name a target below it"
            )
    for name in wiring.inputs:
        if name not in given:
            taker = next(node for node in wiring.bindings if any(each.name == name for each in wiring.bindings[node]))
            way_out = did_you_mean(name, graph.nodes).replace("mean", "mean node", 1)
            way_out = way_out or f"; give it: inputs={{{name!r}: ...}}, or --input {name}=..."
            raise InputError(f"input {name!r} of {wiring.label(taker)} is not given{way_out}")


def _find_constant(graph: Graph, name: str) -> str:
    """Return what else than an input a name stands for, or nothing."""
    if name in graph.resources:
        return f"it is {graph.resources[name].label}"
    for node in graph.nodes.values():
        if name not in node.inputs and any(parameter.name == name for parameter in node.parameters):
            return f"it is left to its default in {node.label}; bind another with functools.partial"
    return ""


def _check_choices(wiring: Wiring, settings: PlanSettings) -> None:
    """Refuse pools and strides for nodes that do not exist, and impossible strides."""
    nodes = wiring.graph.nodes
    for option, some in (("pool", settings.pools), ("stride", settings.strides)):
        for name in some:
            if name != "*" and name not in nodes:
                raise OptionError(f"there is no node {name!r} to give a {option}{did_you_mean(name, nodes)}")
    for name, stride in settings.strides.items():
        if not is_stride(stride):
            raise OptionError(f'the stride of {name!r} is {stride!r}; it must be at least 1, or "auto"')


def _choose_node_settings(wiring: Wiring, settings: PlanSettings) -> dict[str, NodeSettings]:
    """Return for each node its pool and stride, and whether it may fuse."""
    nodes = wiring.graph.nodes
    settings_of = {}
    for name in wiring.bindings:
        options = nodes[name].options
        default = ASYNC_POOL if nodes[name].awaits else settings.default_pool
        pool = settings.pools.get(name) or settings.pools.get("*") or options.pool or default
        stride = settings.strides.get(name) or settings.strides.get("*") or options.stride or "auto"
        kept = options.checkpoint or (settings.journal and name in wiring.targets)
        settings_of[name] = NodeSettings(pool, stride, options.fuse, bool(options.retries), bool(options.timeout), kept)
    return settings_of


def _make_steps(groups: list[FusedGroup], program: Program) -> list[Step]:
    """Return the steps of the groups; their stages go into the program."""
    steps: list[Step] = []
    outside = {stream for group in groups for stream in group.inputs}
    makers: dict[Stream, Step] = {}
    for number, group in enumerate(groups):
        first = group.parts[0]
        made = [stream for part in group.parts for stream in part.made]
        outputs = made if first.kind == "source" else [each for each in made if each.target or each in outside]
        inputs = list(group.inputs)
        step = Step(
            number=number,
            kind=first.kind,
            nodes=_name_nodes(group),
            inputs=inputs,
            outputs=outputs,
            space=first.space,
            pool=first.pool,
            stride=first.stride,
            size=first.size,
            skip_failed=first.skip_failed,
            level=1 + max((makers[each].level for each in inputs), default=-1),
        )
        steps.append(step)
        makers.update((each, step) for each in outputs)
        for index, each in enumerate(inputs):
            each.consumers.append((step, index))
        if first.call is not None or first.members:
            program.stages[number] = _make_stage(group, outputs)
    for number, stage in program.stages.items():
        program.stages[number] = replace(stage, shared=_find_shared(stage, steps[number].inputs, makers))
    return steps


def _find_shared(stage: Stage, inputs: Sequence[Stream], makers: Mapping[Stream, Step]) -> tuple[int, ...]:
    """Return the inputs of a stage that somebody else takes, too: another step, the consumer, or a repetition."""
    repeats = any(call.retries or call.timeout for call in stage.calls)
    return tuple(number for number, stream in enumerate(inputs) if repeats or _is_shared(stream, makers))


def _is_shared(stream: Stream, makers: Mapping[Stream, Step]) -> bool:
    """Say whether several take a stream, or what its lists and groups are made of."""
    maker = makers[stream]
    if len(stream.consumers) > 1 or stream.is_kept:
        return True
    return maker.kind in {"gather", "group"} and _is_shared(maker.inputs[0], makers)


def _number(spaces: list[Space], hidden: Collection[Space]) -> list[Space]:
    """Return the spaces that the engine knows, numbered anew if there are others."""
    known = [space for space in spaces if space not in hidden]
    for number, space in enumerate(known):
        space.number = number
    return known


def _name_nodes(group: FusedGroup) -> tuple[str, ...]:
    """Return the nodes whose own results a group makes, else those that it serves."""
    first = group.parts[0]
    if first.kind == "source":
        return tuple(stream.node for stream in first.outputs)
    parts = [part for some in group.parts for part in some.whole]
    own = dict.fromkeys(part.node for part in parts if not part.output.inner)
    return tuple(own or dict.fromkeys(part.node for part in parts))


def _make_stage(group: FusedGroup, outputs: list[Stream]) -> Stage:
    """Return what a worker must know of a group."""
    columns = {stream: index for index, stream in enumerate(group.inputs)}
    parts = [part for some in group.parts for part in some.whole if part.call is not None]
    columns.update((part.output, len(group.inputs) + number) for number, part in enumerate(parts))
    numbers = {part: number for number, part in enumerate(parts)}
    inner = tuple(describe_inner(part, columns, numbers) for part in group.parts if part.members)
    calls = tuple(_renumber(part, columns) for part in parts)
    first = group.parts[0]
    kind = cast("StageKind", first.kind)
    wanted = tuple(columns[stream] for stream in outputs)
    return Stage(kind, len(group.inputs), calls, wanted, first.factory, inner)


def _renumber(part: Part, columns: Mapping[Stream, int]) -> Call:
    """Return the call of a part with the columns of its stage."""
    call = part.call
    assert call is not None
    arguments = tuple(
        each if each.column is None else Argument(columns[part.inputs[each.column]], each.keyword)
        for each in call.arguments
    )
    return replace(call, arguments=arguments)


def _find_origins(wiring: Wiring, expansion: Expansion) -> dict[str, Call]:
    """Return the calls of the source nodes."""
    origins: dict[str, Call] = {}
    for name in expansion.streams:
        node = wiring.node(name)
        if node is not None and not wiring.streams(name):
            if node.options.timeout or node.options.retries:
                what = "timeout" if node.options.timeout else "retries"
                raise GraphError(f"{node.label} is a source and has {what}=; only a node with inputs can have that")
            arguments = tuple(make_argument(take(wiring, {}, each), []) for each in wiring.bindings[name])
            origins[name] = Call(name, node.function, arguments, awaits=node.awaits)
    return origins
