"""How many CPUs there are for this process and its children, and why: nothing else asks the system.

A process is bound to some CPUs, by `taskset`, by the launcher of its ranks, or by a cpuset, out of which it cannot get.
And a control group may have the time of so many CPUs only, on whichever it is spent: containers are limited like that.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

_BATCH: Final = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID", "OAR_JOB_ID")
"""Variables by which a process knows that it is in a job of a batch system, which may have lent it a part of a host."""


class CpuShare(NamedTuple):
    """How many of the CPUs that there are this process may use, and why not all; "": nothing limits it."""

    usable: int
    there: int
    reason: str = ""


def find_cpus() -> frozenset[int]:
    """Return which CPUs this process is bound to; a cpuset counts as well."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(count_all()))


def count_cpus() -> int:
    """Return how many CPUs this process may use: to how many it is bound, or less if its time is limited."""
    return survey_cpus(explains=False).usable


def count_all() -> int:
    """Return how many CPUs this host has."""
    return os.cpu_count() or 1


def survey_cpus(*, explains: bool = True) -> CpuShare:
    """Return how many CPUs this process may use, and why."""
    bound, there, quota = find_cpus(), count_all(), find_quota()
    if quota is not None and math.ceil(quota) < len(bound):
        return CpuShare(max(1, math.ceil(quota)), there, f"a control group has the time of {quota:g} (its quota)")
    if not explains or len(bound) >= there:
        return CpuShare(len(bound), there)
    if _find_widest() > bound:
        return CpuShare(
            len(bound), there, f"bound to CPU {join_ranges(bound)} by taskset, or by the launcher (-bind-to)"
        )
    return CpuShare(len(bound), there, f"the cpuset of a job or a container has CPU {join_ranges(bound)}")


def find_room(workers: int) -> frozenset[int]:
    """Return which CPUs so many children of this process, which is a rank, should use together.

    Its own if these are enough. A rank that its launcher has bound to one core is to have children on others, too: on
    all those that the launcher has. But if that is the whole host, of which a job has only a part, on its own only.
    """
    bound = find_cpus()
    if workers <= len(bound) or not hasattr(os, "sched_setaffinity"):
        return bound
    widest = _find_widest() & frozenset(os.sched_getaffinity(os.getppid()))
    if len(widest) >= count_all() and is_part(os.environ, count_all()):
        return bound
    return widest | bound


def is_part(environ: Mapping[str, str], there: int) -> bool:
    """Say whether this process is in a job of a batch system that may have only a part of this host."""
    return any(name in environ for name in _BATCH) and environ.get("SLURM_CPUS_ON_NODE") != str(there)


def tell_crowd(workers: Collection[str]) -> str:
    """Return what to say of children of this process that have too few CPUs, though the host has more; else nothing."""
    room, there = len(find_room(len(workers))), count_all()
    if len(workers) <= room or room >= there:
        return ""
    return (
        f"{len(workers)} workers of a rank share {room} of {there} CPUs, since it is bound to them: give each rank "
        "more CPUs, or start the ranks without binding (mpiexec -bind-to none)"
    )


def place_on(pid: int, cpus: frozenset[int]) -> None:
    """Let a process use some CPUs, where it may; it may have ended."""
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(pid, cpus)


def find_quota() -> float | None:
    """Return the time of how many CPUs the control groups of this process may use; `None`: nothing limits it."""
    found = [quota for group in list_groups("cpu") if (quota := _read_quota(group)) is not None]
    return min(found, default=None)


def _read_quota(group: Path) -> float | None:
    """Return the time of how many CPUs one control group has."""
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):  # there is no such file, or it says "max"
        quota, period = map(int, (group / "cpu.max").read_text(encoding="utf-8").split())
        return quota / period
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (
            int((group / f"cpu.cfs_{what}_us").read_text(encoding="utf-8")) for what in ("quota", "period")
        )
        return quota / period if quota > 0 else None
    return None


def list_groups(controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups that this process is in and that limit a resource, of both versions."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # another system
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for mount in mounts:
            before, _, after = mount.partition(" - ")
            root, where = before.split()[3:5]
            kind, *_, options = after.split()
            if kind == ("cgroup" if controllers else "cgroup2") and (
                kind == "cgroup2" or controller in options.split(",")
            ):
                inside = Path(path.removeprefix(root).lstrip("/"))  # in a container its group may be the root
                for group in (inside, *inside.parents):
                    yield Path(where) / group


def _find_widest() -> frozenset[int]:
    """Return which CPUs this process could bind itself to; only this thread is bound to them, for a moment."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, range(os.sysconf("SC_NPROCESSORS_CONF")))
        return frozenset(os.sched_getaffinity(0))
    except (OSError, ValueError):
        return frozenset(before)
    finally:
        os.sched_setaffinity(0, before)


def join_ranges(numbers: Iterable[int]) -> str:
    """Return numbers as ranges: "0-3, 7"."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][-1] == number - 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)
