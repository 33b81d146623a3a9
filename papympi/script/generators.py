"""Random number generators that workers must not share copies of: found in the runner, made different in workers."""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from types import BuiltinMethodType, MethodType
from typing import TYPE_CHECKING, Any, Final

from papympi.errors import PapympiWarning
from papympi.model.telling import clean
from papympi.plan.program import Program

if TYPE_CHECKING:
    from papympi.plan.plan import Plan  # workers do without
    from papympi.script.reach import Use

_SEEDS: Final = frozenset({"seed", "setstate", "set_state", "bit_generator", "manual_seed"})
"""What a function calls to say itself where a generator begins."""
_PACKAGE: Final = __file__.removesuffix("script/generators.py")


def find_generators(program: Program) -> Iterator[Use]:
    """Yield the generators that the functions of a program draw from without saying where these begin."""
    from papympi.script.reach import list_uses  # what stays in the caller's thread does without

    return pick_generators(list_uses(program))


def pick_generators(uses: Iterable[list[Use]]) -> Iterator[Use]:
    """Yield them where it is known what the functions use.

    Args:
        uses: what each function uses.
    """
    for some in uses:
        found = [(use, generator) for use in some if (generator := _find_generator(use)) is not None]
        seeded = {id(generator) for use, generator in found if use.attribute in _SEEDS or _name(use) in _SEEDS}
        first = {id(generator): use._replace(value=generator) for use, generator in reversed(found)}
        yield from (
            first[each] for each in dict.fromkeys(id(generator) for _, generator in found) if each not in seeded
        )


def _describe(use: Use) -> str:
    """Return what to say of a generator that a function uses."""
    kind = type(use.value)
    return (
        f"{use.user} draws from the random number generator {use.name!r} ({kind.__module__}.{kind.__qualname__}), of "
        "which every worker has its own: what an item gets depends on the worker that it comes to, and is another in "
        "each run; use papympi.random() or numpy.random.default_rng(papympi.seed()), which belong to the item"
    )


def warn_generators(plan: Plan, pools: Collection[str]) -> None:
    """Warn of the generators that nodes on some pools draw from, where the user's program asks for the run."""
    if not pools:
        return
    numbers = {step.number for step in plan.steps if step.pool in pools}
    stages = {number: stage for number, stage in plan.program.stages.items() if number in numbers}
    uses = find_generators(replace(plan.program, setups=(), stages=stages))
    for text in dict.fromkeys(map(_describe, uses)):
        warnings.warn(clean(text), PapympiWarning, stacklevel=_find_level())


def _find_level() -> int:
    """Return how many calls above the caller the first is that is not papympi's own."""
    level, frame = 1, sys._getframe(1)  # noqa: SLF001 - the documented way to a caller's frame
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level


def renew_used(program: Program) -> None:
    """Let the generators that the functions of a program use begin anew, as other workers have copies of them."""
    for use in find_generators(program):
        _renew(use.value)


def _renew(generator: Any) -> None:
    if isinstance(generator, random.Random):
        generator.seed()
    elif hasattr(generator, "bit_generator"):
        generator.bit_generator.state = type(generator.bit_generator)().state
    elif generator.get_state(legacy=False)["bit_generator"] == "MT19937":
        generator.seed()


def _name(use: Use) -> str:
    return use.name.rpartition(".")[2]


def _find_generator(use: Use) -> Any:
    """Return the generator that a value is, or is a method of; `None`: it is none."""
    value = use.value
    numpy = sys.modules.get("numpy.random")
    if numpy is not None and value is numpy.seed:
        value = numpy.rand
    if isinstance(value, MethodType | BuiltinMethodType):
        value = value.__self__
    kinds = (random.Random,) if numpy is None else (random.Random, numpy.Generator, numpy.RandomState)
    return value if isinstance(value, kinds) and not isinstance(value, random.SystemRandom) else None
