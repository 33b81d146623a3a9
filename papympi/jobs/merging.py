"""Joins the results of runs over shares of the inputs: in input order, byte for byte what one run would write."""

from __future__ import annotations

import heapq
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from papympi.errors import JournalError, OptionError
from papympi.formats.file_formats import FORMATS, list_suffixes
from papympi.formats.output_files import open_output
from papympi.jobs.repeating import read_target
from papympi.monitors.events import parse_events
from papympi.runner.loading import load_graph
from papympi.stores.rundir import EVENTS, RECORD, RESULTS, RunDirectory, check_private


def merge_shards(folders: Sequence[Path], output: Path) -> int:
    """Write the results of all shares into one file; return how many there are.

    Raises:
        JournalError: a share is missing, is there twice, or has not come to its end; says which.
        OptionError: the output is of another kind than the results.
    """
    files = _find_files(folders)
    suffixes = {file.suffix for file in files}
    if suffixes != {output.suffix}:
        raise OptionError(
            f"the results are {', '.join(sorted(suffixes))} files; they cannot be merged into {output.name}: "
            "its suffix must be the same"
        )
    form = FORMATS.get(output.suffix)
    if form is None:
        raise OptionError(f"cannot merge {output.suffix} files; write {list_suffixes('or')}")
    if form.needs_pipeline:
        load_graph(read_target(RunDirectory(folders[0]).list_runs()[0]))
    count = 0
    with open_output(output, {output.suffix: form.copy}) as writer:
        for result in heapq.merge(*map(form.read_rows, files), key=lambda result: result.key[0]):
            writer.write(result)
            count += 1
    return count


class _Share(NamedTuple):
    """The run over one share of the inputs."""

    number: int
    of: int
    folder: Path
    results: Path
    finished: bool


def _find_files(folders: Sequence[Path]) -> list[Path]:
    """Return the results file of each share, in order."""
    shares = [_read_share(run) for folder in folders for run in RunDirectory(folder).list_runs()]
    found: dict[int, _Share] = {}
    for share in shares:
        number, of, folder, *_ = share
        if of != shares[0].of:
            raise JournalError(f"{folder} is share {number} of {of}, others are shares of {shares[0].of}")
        if (other := found.setdefault(number, share)) is not share:
            raise JournalError(f"share {number}/{of} is there twice: {other.results.parent} and {folder}")
    _check_complete(found, shares[0].of)
    return [share.results for _, share in sorted(found.items())]


def _read_share(run: RunDirectory) -> _Share:
    """Return what a run directory says of its share."""
    run.require()
    record = run.read_record()
    if not record.get("shard"):
        raise JournalError(f"{run.path} is not of a run with --shard")
    options, shard = record.get("options"), record["shard"]
    is_share = isinstance(shard, list) and [type(each) for each in shard] == [int, int] and 0 <= shard[0] < shard[1]
    name = isinstance(options, dict) and (options.get("output") or RESULTS)
    if not is_share or not isinstance(name, str):
        raise JournalError(f"{run / RECORD} does not say which share of the inputs it is of: it is damaged")
    number, of = shard
    results = _find_results(run, name)
    events = parse_events(run.read(EVENTS))
    finished = bool(events) and events[-1].get("event") == "finished"
    return _Share(number, of, run.path, results, finished)


def _find_results(run: RunDirectory, name: str) -> Path:
    """Return the file with the results of a run, which must be in its directory: the record may name any file."""
    results = run / Path(name).name
    if Path(name).name in ("", "..") or (Path(name).name != name and not os.path.lexists(results)):
        raise JournalError(
            f"the results of {run.path} went to {name!r}, and merge reads nothing outside of run directories: copy "
            f"it to {results}, or run with --output {results.name}"
        )
    check_private(results)
    return results


def _check_complete(found: Mapping[int, _Share], of: int) -> None:
    """Refuse shares of which some are missing or unfinished."""
    troubles = {
        "missing": [f"{number}/{of}" for number in range(of) if number not in found],
        "unfinished": [f"{share.number}/{of} ({share.folder})" for share in found.values() if not share.finished],
    }
    if any(troubles.values()):
        parts = [f"{what}: {', '.join(some)}" for what, some in troubles.items() if some]
        raise JournalError(f"not all shares are there: {'; '.join(parts)}")
