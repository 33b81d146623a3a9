"""Makes a case smaller as long as the same is wrong with it."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import fields

from tests.fuzz.specs import Case, Spec

KEPT = {"name", "kind", "inputs", "row", "state", "size"}


def shrink(case: Case, is_wrong: Callable[[Case], bool], *, seconds: float) -> Case:
    """Return the smallest case that is found within some seconds, with which the same is wrong."""
    end = time.monotonic() + seconds
    while True:
        for smaller in list_smaller(case):
            if time.monotonic() > end:
                return case
            if is_wrong(copy.deepcopy(smaller)):
                case = smaller
                break
        else:
            return case


def list_smaller(case: Case) -> Iterator[Case]:
    """Yield cases that are a little smaller, the boldest first."""
    for change in [*_fewer_steps(case), *_fewer_targets(case), *_fewer_inputs(case), *_fewer_rows(case)]:
        yield from _changed(case, change)
    for change in [*_plainer_pools(case), *_plainer_nodes(case)]:
        yield from _changed(case, change)


def _changed(case: Case, change: Callable[[Case], None]) -> Iterator[Case]:
    smaller = copy.deepcopy(case)
    change(smaller)
    smaller.prune()
    if smaller.targets and smaller.show() != case.show():
        yield smaller


def _fewer_steps(case: Case) -> Iterator[Callable[[Case], None]]:
    if case.profile not in {"resume", "shards"}:
        for at in range(len(case.steps)):
            yield lambda other, at=at: other.steps.pop(at)


def _fewer_targets(case: Case) -> Iterator[Callable[[Case], None]]:
    for name in case.targets:
        yield lambda other, name=name: other.targets.remove(name)


def _fewer_inputs(case: Case) -> Iterator[Callable[[Case], None]]:
    def drop(other: Case, name: str, gone: str) -> None:
        spec = other.find(name)
        spec.inputs = tuple(each for each in spec.inputs if each != gone)

    for spec in case.specs:
        for gone in spec.inputs if len(spec.inputs) > 1 else ():
            yield lambda other, name=spec.name, gone=gone: drop(other, name, gone)


def _fewer_rows(case: Case) -> Iterator[Callable[[Case], None]]:
    def cut(other: Case, row: str, size: int) -> None:
        for spec in other.specs:
            if spec.row == row:
                spec.size = size

    for row, most in {(spec.row, spec.size) for spec in case.specs if spec.row}:
        for size in sorted({0, 1, 2, 3, 5, most // 2, most - 1}):
            if 0 <= size < most:
                yield lambda other, row=row, size=size: cut(other, row, size)


def _plainer_pools(case: Case) -> Iterator[Callable[[Case], None]]:
    for name, pool in case.pools.items():
        for plainer in ("inline", "threads:1", "processes:1"):
            if pool == plainer:
                break
            yield lambda other, name=name, plainer=plainer: other.pools.__setitem__(name, plainer)


def _plainer_nodes(case: Case) -> Iterator[Callable[[Case], None]]:
    for spec in case.specs:
        plain = Spec(name=spec.name, kind=spec.kind)
        for name in [each.name for each in fields(Spec) if each.name not in KEPT]:
            if getattr(spec, name) != getattr(plain, name):
                value = getattr(plain, name)
                yield lambda other, node=spec.name, name=name, value=value: setattr(other.find(node), name, value)
