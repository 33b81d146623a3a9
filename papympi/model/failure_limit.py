"""How many failures a run may have: a number, or a share of the calls of each node."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, Self

from papympi.errors import OptionError
from papympi.model.telling import describe

_FORM: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?(%?)")


class Counted(Protocol):
    """What is known of a node: how often it was called, and how many of these calls failed."""

    @property
    def done(self) -> int:
        """How often it was called."""

    @property
    def failed(self) -> int:
        """How many of its calls failed."""


class Excess(NamedTuple):
    """What is beyond a limit: so many of so many calls of a node, or of all nodes, have failed."""

    failed: int
    done: int
    node: str = ""

    def __str__(self) -> str:
        where = f" of node {self.node!r}" if self.node else ""
        return f"{self.failed} of {self.done} calls{where} failed"


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """How many failures are let pass.

    Attributes:
        text: as it was given: "100" or "5%".
        count: so many in all; `None`: there is no such bound.
        share: so large a part of the calls of each node; `None`: likewise.
    """

    text: str
    count: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Return what a number, or a text such as "100" or "5%", means.

        Raises:
            OptionError: it means nothing.
        """
        text = str(value) if type(value) is int else value
        found = _FORM.fullmatch(text.strip()) if isinstance(text, str) else None
        if found is None or (found[2] and float(found[1]) > 100) or not (found[2] or found[1].isdecimal()):
            raise OptionError(f"{describe(value)} is neither a number of failures nor a share of 0% to 100%")
        text = f"{found[1]}{found[2]}"
        return cls(text, share=float(found[1]) / 100) if found[2] else cls(text, count=int(found[1]))

    def find_excess(self, nodes: Mapping[str, Counted], least: int = 0) -> Excess | None:
        """Return by what the limit is exceeded; `None`: it is not.

        Args:
            nodes: the counts of each node.
            least: so many calls of a node must have failed before a share of them means something.
        """
        if self.count is not None:
            all_of = Excess(sum(each.failed for each in nodes.values()), sum(each.done for each in nodes.values()))
            return all_of if all_of.failed > self.count else None
        for name, each in nodes.items():
            if each.failed > (self.share or 0.0) * each.done and (each.failed >= least or not self.share):
                return Excess(each.failed, max(each.done, each.failed), name)
        return None
