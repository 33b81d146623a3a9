"""What a user can say about the run directory of a run."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from papympi.model.telling import clean


class JournalWarning(UserWarning):
    """Something about a run directory that one should know: a damaged journal, results that it cannot keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalOptions:
    """How a run is kept in its run directory.

    Attributes:
        folder: the run directory.
        resume: go on from what is in it; without, it must not have a journal.
        retry_failed: try failed items again.
        force: use old results although code, inputs or papympi have changed.
        shard: (number, of how many): the share of the inputs that is worked on.
        within_s: how long the run may take, in seconds; `None`: as long as its job of Slurm has, if it is in one.
        locked: the caller holds the lock of the run directory.
        warn: takes what is worth knowing.
        command: what the user called.
        options: what `run.json` says of the options.
    """

    folder: Path
    resume: bool = False
    retry_failed: bool = False
    force: bool = False
    shard: tuple[int, int] | None = None
    within_s: float | None = None
    locked: bool = False
    warn: Callable[[str], None] = lambda text: warnings.warn(clean(text), JournalWarning, stacklevel=3)
    command: Sequence[str] = field(default_factory=lambda: tuple(sys.argv))
    options: Mapping[str, Any] = field(default_factory=dict)
