"""`papympi.map`: the pipeline of one node."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from papympi.contracts import Pool
from papympi.model.graph import Graph
from papympi.model.node import is_async
from papympi.plan.adapters import AwaitedByPosition, ByPosition
from papympi.plan.plan import Stride
from papympi.runner.reading import Errors
from papympi.runner.run import Run, run


def map(  # noqa: A001 - the field's name for it; `papympi.map` hides nothing
    function: Callable[..., Any],
    *iterables: Iterable[Any],
    pool: str | Pool | None = None,
    stride: Stride = 1,
    ordered: bool = True,
    errors: Errors = "raise",
    timeout: float | None = None,
    retries: int = 0,
    admission: int | None = None,
    admission_bytes: int | str | None = None,
    seed: int | None = None,
    initializer: Callable[..., Any] | None = None,
    initargs: tuple[Any, ...] = (),
) -> Run:
    """Return the results of `function` for the items of the iterables: a lazy, bounded, parallel `map`.

    Args:
        function: any callable: a lambda, a partial, a method; called with one item of each iterable.
        *iterables: may be endless; several must have the same length.
        pool: the name of a pool, `"processes:4"`, or a pool or executor; by default "processes", of an async function
            "asyncio".
        stride: largest number of items in a batch, or "auto".
        ordered: yield results in input order; else as they come.
        errors: "raise", "keep" or "drop", as of `run`.
        timeout: how long one item may take, in seconds.
        retries: how often an item that failed is tried again.
        admission: how many items may be under way at once.
        admission_bytes: about how many bytes they may have, as of `run`.
        seed: what the items' seeds are derived from, as of `run`.
        initializer: every worker process calls it once, before its first item; see `papympi.setup`.
        initargs: what it is given.

    Raises:
        TypeError: no iterable was given.
        InputError: the iterables have unequal lengths.
    """
    if not iterables:
        raise TypeError("papympi.map needs at least one iterable")
    graph = Graph("map")
    names = [f"iterable_{number}" for number in range(len(iterables))]
    name = getattr(function, "__name__", "function")
    node = name if name.isidentifier() and name not in names else "function"
    options = {"timeout": timeout, "retries": retries}
    called = AwaitedByPosition(function) if is_async(function) else ByPosition(function)
    graph.add(called, name=node, inputs={"items": names}, pool="map", stride=stride, **options)
    if initializer is not None:
        graph.setup(name="map.initializer")(partial(initializer, *initargs))
    return run(
        dict(zip(names, iterables, strict=True)),
        graph=graph,
        pools={"map": pool or ("asyncio" if is_async(function) else "processes")},
        ordered=ordered,
        errors=errors,
        admission=admission,
        admission_bytes=admission_bytes,
        seed=seed,
    )
