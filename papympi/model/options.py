"""The options of a node: what they are called, what values they may have, and which ones plugins add."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from papympi.errors import OptionError, did_you_mean
from papympi.model.item import Failure

StrideOption = int | Literal["auto"] | None
ErrorOption = Literal["fail", "drop"] | Callable[[Failure], Any]
ExceptionOption = type[BaseException] | tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """What a node was told; `None` leaves the choice to the run.

    Attributes:
        pool: name of the pool that evaluates it.
        stride: how many items a batch has; if they take less than 0.5 ms together, so do several batches.
        gather: `True`: take the list of children; a number: lists of so many siblings.
        fold: makes a fresh accumulator.
        combine: joins two accumulators, in order.
        vectorized: the function takes lists of items.
        on_error: what becomes of failures.
        timeout: how long one item may take, in seconds.
        retries: how often an item that failed is tried again.
        retry_on: the exceptions after which it is.
        backoff: how long after its first failure it is, in seconds; doubled each time.
        checkpoint: a journal keeps its results, so that a resumed run does not compute what is above them again.
        fuse: it may share a stage with its neighbours.
        spread: of a generator: its children may go to other workers.
        plugin: options that plugins declared.
    """

    pool: str | None = None
    stride: StrideOption = None
    gather: bool | int = False
    fold: Callable[[], Any] | None = None
    combine: Callable[[Any, Any], Any] | None = None
    vectorized: bool = False
    on_error: ErrorOption = "fail"
    timeout: float | None = None
    retries: int = 0
    retry_on: ExceptionOption = BaseException
    backoff: float = 0.1
    checkpoint: bool = False
    fuse: bool = True
    spread: bool = True
    plugin: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class OptionRule:
    """What an option may be, and what depends on it.

    Attributes:
        possible: says whether a value can be.
        meaning: what a value is, for messages.
        changes_results: with another value there are other results: a journal of the old ones is not resumed.
    """

    possible: Callable[[Any], bool]
    meaning: str
    changes_results: bool = True


_declared: dict[str, Callable[[Any], bool] | None] = {}
_loaders: list[Callable[[], None]] = []


def declare_option(name: str, accepts: Callable[[Any], bool] | None = None) -> None:
    """Let nodes have one more option, because a plugin understands it.

    Args:
        name: the option's keyword.
        accepts: says whether a value is possible; `None`: every value is.

    Raises:
        OptionError: a node has such an option already.
    """
    if name in DECLARED or name in {"name", "inputs", "graph"}:
        raise OptionError(f"a plugin cannot declare {name!r}: every node has that option; choose another name")
    _declared[name] = accepts


def load_options_with(loader: Callable[[], None]) -> None:
    """Have `loader` called once, when an option turns up that nobody has declared; it may declare more."""
    _loaders.append(loader)


def read_options(options: Mapping[str, Any], label: str) -> NodeOptions:
    """Return the options in order, or say which one cannot be.

    Args:
        options: by keyword; without name, inputs and graph.
        label: how messages call the node, with its place.
    """
    own = {name: value for name, value in options.items() if name in DECLARED}
    plugin = {name: value for name, value in options.items() if name not in DECLARED}
    if any(name not in _declared for name in plugin):
        while _loaders:
            _loaders.pop()()
    for name, value in plugin.items():
        _check_plugin_option(name, value, label)
    for name, value in own.items():
        rule = DECLARED[name]
        if not rule.possible(value):
            raise OptionError(f"{label}: {name}={value!r} is impossible; {name} is {rule.meaning}")
    result = NodeOptions(**own, plugin=MappingProxyType(plugin))
    _check_together(result, label)
    return result


def pick_fingerprinted(options: NodeOptions) -> dict[str, Any]:
    """Return the options that the results of a node depend on, by name."""
    return {name: getattr(options, name) for name, rule in DECLARED.items() if rule.changes_results}


def _check_plugin_option(name: str, value: Any, label: str) -> None:
    """Refuse an option that nobody declared or a value that its plugin does not accept."""
    if name not in _declared:
        known = ["name", "inputs", *DECLARED, *sorted(_declared)]
        way_out = did_you_mean(name, known) or f"; there are {', '.join(known)}"
        raise OptionError(f"{label}: unknown option {name!r}{way_out}")
    accepts = _declared[name]
    if accepts is not None and not accepts(value):
        raise OptionError(f"{label}: {name}={value!r} is not accepted by the plugin that declares {name!r}")


def _check_together(options: NodeOptions, label: str) -> None:
    """Refuse options that contradict one another."""
    if options.vectorized and options.fold is not None:
        raise OptionError(f"{label}: fold= and vectorized= exclude one another; a fold takes the items one at a time")
    if options.combine is not None and options.fold is None:
        raise OptionError(f"{label}: combine= joins the accumulators of a fold; give fold= as well, or leave it out")
    if options.fold is None:
        return
    if options.gather is not False:
        raise OptionError(f"{label}: fold= and gather= exclude one another; a fold takes the items one at a time")
    if options.retries and options.combine is None:
        raise OptionError(
            f"{label}: a fold cannot be retried, its accumulator may be half changed; give it combine=, so that it "
            "folds in parts that can be, or let another node do what may fail"
        )


def is_stride(value: Any) -> bool:
    """Say whether the value is a stride that can be asked for."""
    return value == "auto" or _is_count(value)


def _is_count(value: Any) -> bool:
    """Say whether the value is a number of things, at least one."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_time(value: Any) -> bool:
    """Say whether the value is a number of seconds above 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _is_exception(value: Any) -> bool:
    """Say whether the value is an exception class or some of them."""
    some = value if isinstance(value, tuple) else (value,)
    return bool(some) and all(isinstance(each, type) and issubclass(each, BaseException) for each in some)


def _is_switch(value: Any) -> bool:
    """Say whether the value is true or false."""
    return isinstance(value, bool)


def _or_none(possible: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return what accepts `None`, too."""
    return lambda value: value is None or possible(value)


DECLARED: Final[dict[str, OptionRule]] = {
    "pool": OptionRule(
        _or_none(lambda value: isinstance(value, str) and value != ""), "the name of a pool", changes_results=False
    ),
    "stride": OptionRule(_or_none(is_stride), 'at least 1, or "auto"', changes_results=False),
    "gather": OptionRule(lambda value: _is_switch(value) or _is_count(value), "True, False, or at least 1"),
    "fold": OptionRule(_or_none(callable), "a type or function that makes an accumulator"),
    "combine": OptionRule(_or_none(callable), "a function of two accumulators"),
    "vectorized": OptionRule(_is_switch, "True or False"),
    "on_error": OptionRule(
        lambda value: callable(value) or (isinstance(value, str) and value in {"fail", "drop"}),
        '"fail", "drop", or a function of the failure',
    ),
    "timeout": OptionRule(_or_none(_is_time), "a number of seconds above 0", changes_results=False),
    "retries": OptionRule(
        lambda value: value == 0 or _is_count(value), "a whole number, 0 or more", changes_results=False
    ),
    "retry_on": OptionRule(_is_exception, "an exception class or a tuple of them", changes_results=False),
    "backoff": OptionRule(
        lambda value: value == 0 or _is_time(value), "a number of seconds, 0 or more", changes_results=False
    ),
    "checkpoint": OptionRule(_is_switch, "True or False", changes_results=False),
    "fuse": OptionRule(_is_switch, "True or False", changes_results=False),
    "spread": OptionRule(_is_switch, "True or False", changes_results=False),
}
"""The options that every node has."""
