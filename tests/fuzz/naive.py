"""The evaluator that fuzzing compares with: every node over all items at once, as the documentation says it.

`drops` and `TURNS` are the two places where decisions stand that may change: who drops which failure, and in which
order results of independent components come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from papympi import DROP
from papympi.plan.expand import BRANCHES
from tests.fuzz import rules
from tests.fuzz.specs import Case, Spec

Key = tuple[int, ...]
Members = list[tuple[Key, list[Any]]]

TURNS = True
"""Whether independent components take turns in delivery (item 0 of each, item 1 of each ...), or come in a row."""
SCATTERS_FAIL_PARENTS = True
"""Whether the failure of a scatter is its parent's, which no `on_error="drop"` among or behind its children drops."""


@dataclass(frozen=True)
class Failed:
    """A failure, where it stands: the node and the key of the call."""

    node: str
    key: Key


def drops(spec: Spec, failed: Failed, depth: int) -> bool:
    """Say whether a node, whose items have keys of some depth, leaves out a failure that it is given."""
    return spec.on_error == "drop" and (not SCATTERS_FAIL_PARENTS or len(failed.key) >= depth)


def list_ancestors(case: Case, name: str) -> set[str]:
    """Return a node with all that is above it."""
    found = {name}
    for spec in reversed(case.specs):
        if spec.name in found:
            found |= set(spec.inputs)
    return found


def find_turns(case: Case) -> list[str]:
    """Return the rows that take turns, in their order; none, if one needs another, which has to end first."""
    given = [spec for spec in case.specs if spec.kind == "input"]  # inputs of a run come before its source nodes
    rows = list(dict.fromkeys(spec.row for spec in (*given, *case.specs) if spec.row))
    above = [{case.find(name).row for name in list_ancestors(case, spec.name)} - {""} for spec in case.specs]
    return rows if all(len(found) == 1 for found in above) else []


def find_failed(row: list[Any]) -> Failed | None:
    """Return the first failure of a row."""
    return next((value for value in row if isinstance(value, Failed)), None)


class Naive:
    """The semantics in the plainest form.

    Args:
        case: what is evaluated.
        ends: by row how many items of it are read, if not all.

    Attributes:
        values: by node the values by key, dropped ones left out.
        spaces: by node which scatters and groups its keys count.
        counts: by space how many items each parent has.
        failures: how often each call failed.
        unsure: nodes whose failures depend on how items were divided: at most the failures that are listed.
    """

    def __init__(self, case: Case, ends: Mapping[str, int] | None = None) -> None:
        self.ends = ends or {}
        self.values: dict[str, dict[Key, Any]] = {}
        self.spaces: dict[str, tuple[str, ...]] = {}
        self.counts: dict[tuple[str, ...], dict[Key, int]] = {}
        self.failures: Counter[tuple[str, Key]] = Counter()
        self.unsure = {spec.name for spec in case.specs if spec.combine and spec.fail}
        for spec in case.specs:
            found = getattr(self, f"_{spec.kind}")(spec)
            self.values[spec.name] = {key: value for key, value in found.items() if value is not DROP}

    def list_target(self, name: str) -> list[tuple[Key, Any]]:
        """Return the results of a target in the order of its keys."""
        return sorted(self.values[name].items(), key=lambda entry: entry[0])

    def count_items(self) -> int:
        """Return how many items there are in all."""
        return sum(map(len, self.values.values()))

    def _fail(self, spec: Spec, key: Key) -> Any:
        """Return what stands for a call that fails."""
        self.failures[spec.name, key] += 1
        if spec.on_error == "heal":
            return rules.healed(spec.name, key)
        return DROP if spec.on_error == "drop" else Failed(spec.name, key)

    def _deepest(self, spec: Spec) -> tuple[str, ...]:
        return max((self.spaces[name] for name in spec.inputs), key=len)

    def _row(self, spec: Spec, key: Key) -> list[Any] | None:
        """Return what a node gets at a key, or nothing if one of it was dropped."""
        places = [(name, key[: len(self.spaces[name])]) for name in spec.inputs]
        if any(place not in self.values[name] for name, place in places):
            return None
        return [self.values[name][place] for name, place in places]

    def _rows(self, spec: Spec) -> Iterator[tuple[Key, list[Any]]]:
        deepest = max(spec.inputs, key=lambda name: len(self.spaces[name]))
        rows = ((key, self._row(spec, key)) for key in sorted(self.values[deepest]))
        return ((key, row) for key, row in rows if row is not None)

    def _call(self, spec: Spec, key: Key, row: list[Any], depth: int) -> Any:
        """Return what becomes of a call."""
        failed = find_failed(row)
        if failed is not None:
            return DROP if drops(spec, failed, depth) else failed
        if spec.resource == "bad" or rules.fails(spec, row):
            return self._fail(spec, key)
        found = rules.value_of(spec, row)
        if found is not DROP and spec.seeded:
            found = rules.digest(found, rules.seeded(spec.name, key))
        return found

    def _input(self, spec: Spec) -> dict[Key, Any]:
        self.spaces[spec.name] = (spec.row,)
        size = min(spec.size, self.ends.get(spec.row, spec.size))
        self.counts[spec.row,] = {(): size}
        return {(number,): rules.row_of(spec.name, number) for number in range(size)}

    def _source(self, spec: Spec) -> dict[Key, Any]:
        found = self._input(spec)
        last = spec.size // 2
        if spec.fail and spec.size and self.ends.get(spec.row, spec.size) > last:
            found = {key: value for key, value in found.items() if key[0] < last}
            found[last,] = Failed(spec.name, ())
            self.failures[spec.name, ()] += 1
            self.counts[spec.row,] = {(): last + 1}
        return found

    def _map(self, spec: Spec) -> dict[Key, Any]:
        self.spaces[spec.name] = self._deepest(spec)
        return {key: self._call(spec, key, row, len(key)) for key, row in self._rows(spec)}

    def _scatter(self, spec: Spec) -> dict[Key, Any]:
        space = self.spaces[spec.name] = (*self._deepest(spec), spec.name)
        counts = self.counts.setdefault(space, {})
        found: dict[Key, Any] = {}
        for key, row in self._rows(spec):
            failed = find_failed(row)
            if failed is None:
                children = self._children(spec, key, row)
            else:
                children = [] if drops(spec, failed, len(key)) else [failed]
            counts[key] = len(children)
            found |= {(*key, number): child for number, child in enumerate(children)}
        return found

    def _children(self, spec: Spec, key: Key, row: list[Any]) -> list[Any]:
        count, bad = rules.count_children(spec, row), rules.fails(spec, row)
        if not bad or not count:
            return [rules.child_of(spec, row, number) for number in range(count)]
        children = [rules.child_of(spec, row, number) for number in range(rules.fails_at(spec, row))]
        last = self._fail(spec, key)
        return [*children, *[last] * (last is not DROP)]

    def _members(self, spec: Spec) -> Iterator[tuple[Key, Members]]:
        """Yield each parent with the rows that its children give to the deepest inputs."""
        space = self._deepest(spec)
        deep = [name for name in spec.inputs if self.spaces[name] == space]
        for parent, count in sorted(self.counts[space].items()):
            keys = [(*parent, number) for number in range(count)]
            there = [key for key in keys if all(key in self.values[name] for name in deep)]
            yield parent, [(key, [self.values[name][key] for name in deep]) for key in there]

    def _without_dropped(self, spec: Spec, members: Members) -> Members:
        """Return the members without those that a gathering node drops."""
        failures = [(key, row, find_failed(row)) for key, row in members]
        return [(key, row) for key, row, failed in failures if failed is None or not drops(spec, failed, len(key))]

    def _gathered(self, spec: Spec, key: Key, members: Members) -> Any:
        """Return what becomes of a call with lists of members."""
        space = self._deepest(spec)
        failed = next((each for _, row in members if (each := find_failed(row))), None)
        columns = iter(zip(*(row for _, row in members), strict=True))
        row: list[Any] = []
        for name in spec.inputs:
            if self.spaces[name] == space:
                row.append(failed or list(next(columns, ())))
                continue
            place = key[: len(self.spaces[name])]
            if place not in self.values[name]:
                return DROP
            row.append(self.values[name][place])
        first = find_failed(row)
        return first if first and first is failed else self._call(spec, key, row, len(key))

    def _gather(self, spec: Spec) -> dict[Key, Any]:
        self.spaces[spec.name] = self._deepest(spec)[:-1]
        members = ((parent, self._without_dropped(spec, found)) for parent, found in self._members(spec))
        return {parent: self._gathered(spec, parent, found) for parent, found in members}

    def _group(self, spec: Spec) -> dict[Key, Any]:
        space = self.spaces[spec.name] = (*self._deepest(spec)[:-1], spec.name)
        counts, values = self.counts.setdefault(space, {}), {}
        for parent, members in self._members(spec):
            found = self._without_dropped(spec, members)
            groups = [found[first : first + spec.size] for first in range(0, len(found), spec.size)]
            counts[parent] = len(groups)
            for number, group in enumerate(groups):
                values[*parent, number] = self._gathered(spec, (*parent, number), group)
        return values

    def _fold(self, spec: Spec) -> dict[Key, Any]:
        space = self._deepest(spec)
        self.spaces[spec.name] = space[:-1]
        return {parent: self._total(spec, parent, count) for parent, count in sorted(self.counts[space].items())}

    def _total(self, spec: Spec, parent: Key, count: int) -> Any:
        """Return what a fold makes of the children of a parent."""
        keys = [(*parent, number) for number in range(count)]
        rows = [(key, row, find_failed(row)) for key in keys if (row := self._row(spec, key)) is not None]
        rows = [(key, row, failed) for key, row, failed in rows if not failed or not drops(spec, failed, len(key))]
        if not spec.combine:
            return self._folded(spec, rows, None)
        # With `combine` so many items are folded apart, unless one has failed; what is healed is one part of them.
        parts = [self._folded(spec, rows[at : at + BRANCHES], parent) for at in range(0, len(rows), BRANCHES)]
        lost = [part for part in parts if part is DROP or isinstance(part, Failed)]
        healed = [part for part in parts if isinstance(part, int)]
        total = [value for part in parts if isinstance(part, (tuple, list)) for value in part]
        return (lost or healed or [total if spec.listed else tuple(total)])[0]

    def _folded(self, spec: Spec, rows: list[tuple[Key, list[Any], Failed | None]], parent: Key | None) -> Any:
        """Return what becomes of rows that are folded one after the other."""
        received = next((failed for _, _, failed in rows if failed), None)
        total: list[int] = []
        for key, row, failed in rows:
            if received is not None and (parent is not None or failed):
                return received
            if rules.fails(spec, row):
                return self._fail(spec, key if parent is None else parent)
            total.append(rules.digest(spec.name, row))
        return total if spec.listed else tuple(total)
