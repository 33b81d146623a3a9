"""How a run went, as a record: counts per node, totals, equal failures in groups; its text is what `report` makes."""

from __future__ import annotations

from dataclasses import dataclass

from papympi.contracts import Statistics
from papympi.monitors import report
from papympi.monitors.groups import FailureGroup


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run went so far; `str()` of it is the text that the command line prints.

    Attributes:
        statistics: the counts of each node, and the totals; `delivered` counts values, not failures in their places.
        groups: the failures, equal ones together, the largest group first.
        notes: what else there is to say.
    """

    statistics: Statistics
    groups: tuple[FailureGroup, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        """How many calls failed, of all nodes."""
        return sum(count.failed for count in self.statistics.nodes.values())

    @property
    def dropped(self) -> int:
        """How many items were dropped, by all nodes."""
        return sum(count.dropped for count in self.statistics.nodes.values())

    def __str__(self) -> str:
        return report.summarize(self.statistics, self.groups, self.notes)
