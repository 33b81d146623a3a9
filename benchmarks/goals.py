"""What papympi must reach: ratios to peers and limits, each beside the workload that shows it."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """One wanted ratio.

    Attributes:
        group: of the rows that show it.
        workload: a regular expression for their whole workload.
        ours: one for papympi's contender.
        peer: one for the other one.
        wanted: the least ratio.
    """

    group: str
    workload: str
    ours: str
    peer: str
    wanted: float

    def fits(self, group: str, workload: str, ours: str, peer: str) -> bool:
        """Return whether a row shows it."""
        patterns = ((self.workload, workload), (self.ours, ours), (self.peer, peer))
        return self.group == group and all(re.fullmatch(pattern, text) for pattern, text in patterns)


FRAMEWORKS = "pypeln|pyper|dask|ray|parsl|executorlib|pipefunc"
SMALL, SMALL_MPI = "small items", "small items, mpi"

GOALS = (
    Goal(SMALL, "one node, stride (1|64)", "papympi", "ProcessPoolExecutor.map", 5.0),
    Goal(SMALL, "one node, stride 512", "papympi", "ProcessPoolExecutor.map", 3.0),
    Goal(SMALL, "one node, stride (64|512)", "papympi", "Pool.imap", 1.3),
    Goal(SMALL, "one node, stride 512", "papympi", "NuMap .*", 50.0),
    Goal(SMALL, "three nodes, stride 64", "papympi", "ProcessPoolExecutor.map", 12.0),
    Goal(SMALL, "three nodes, .*", "papympi", FRAMEWORKS, 30.0),
    Goal(SMALL, "one node, .*", "papympi", "socket pairs", 0.5),
    Goal(SMALL, ".*", "papympi, auto stride", "papympi, best fixed stride", 0.9),
    Goal(SMALL_MPI, "one node, stride (1|64)", "papympi", "mpi4py.futures", 8.0),
    Goal(SMALL_MPI, "one node, stride (1|64)", "papympi, isolated", "mpi4py.futures", 2.0),
    Goal(SMALL_MPI, "three nodes, stride 64", "papympi", "mpi4py.futures", 20.0),
    Goal(SMALL_MPI, "one node, .*", "papympi", "MPI loop", 0.5),
    Goal(SMALL_MPI, ".*", "papympi, auto stride", "papympi, best fixed stride", 0.9),
    Goal("arrays", "8 MB, one node", "papympi, processes", "ProcessPoolExecutor.map", 8.0),
    Goal("arrays", "8 MB, three nodes", "papympi, processes", "ProcessPoolExecutor.map", 20.0),
    Goal("arrays", "8 MB, one node", "papympi, (MPICH|Open MPI)", "ping-pong, (MPICH|Open MPI)", 0.4),
    Goal("arrays", "8 MB, one node", "papympi, (MPICH|Open MPI)", "mpi4py.futures pkl5, (MPICH|Open MPI)", 1.0),
    Goal("skewed work", ".*", "papympi.*", "a perfect scheduler", 0.9),
    Goal("ranks", "64 ranks, stride 1, .*", "papympi", "no overhead", 0.93),
    Goal("ranks", "64 ranks, stride auto, .*", "papympi", "no overhead", 0.95),
    Goal("ranks", "128 ranks, stride auto, .*", "papympi", "no overhead", 0.85),
    Goal("memory", "(flat|scatter), .* at 10\\^7", "papympi", "papympi at 10\\^5", 1 / 1.1),
    Goal("overheads", "(isolation|journal|telemetry).*", "on", "off", 1 / 1.05),
)


def find_goal(group: str, workload: str, ours: str, peer: str) -> Goal | None:
    """Return what is wanted of a row, if anything."""
    return next((goal for goal in GOALS if goal.fits(group, workload, ours, peer)), None)
