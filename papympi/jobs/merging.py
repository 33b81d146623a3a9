"""Joins the results of runs over shares of the inputs: in input order, byte for byte what one run would write."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from pathlib import Path

from papympi.errors import JournalError, OptionError
from papympi.formats.file_formats import FORMATS, list_suffixes
from papympi.formats.output_files import open_output
from papympi.monitors.events import read_events
from papympi.runner.loading import load_graph
from papympi.stores.rundir import EVENTS, RESULTS, RunDirectory


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
        load_graph(RunDirectory(folders[0]).list_runs()[0].read_record()["options"]["target"])
    count = 0
    with open_output(output, {output.suffix: form.copy}) as writer:
        for result in heapq.merge(*map(form.read_rows, files), key=lambda result: result.key[0]):
            writer.write(result)
            count += 1
    return count


def _find_files(folders: Sequence[Path]) -> list[Path]:
    """Return the results file of each share, in order."""
    found: dict[int, Path] = {}
    shards = 0
    unfinished = []
    for run in [run for folder in folders for run in RunDirectory(folder).list_runs()]:
        folder = run.path
        run.require()
        record = run.read_record()
        if not record.get("shard"):
            raise JournalError(f"{folder} is not of a run with --shard")
        number, of = record["shard"]
        if shards not in (0, of):
            raise JournalError(f"{folder} is share {number} of {of}, others are shares of {shards}")
        if number in found:
            raise JournalError(f"share {number}/{of} is there twice: {found[number].parent} and {folder}")
        shards = of
        name = record.get("options", {}).get("output") or RESULTS
        found[number] = folder / name if Path(name).name == name else Path(record["folder"]) / name
        events = read_events(run / EVENTS)
        if not events or events[-1].get("event") != "finished":
            unfinished.append(f"{number}/{of} ({folder})")
    missing = [f"{number}/{shards}" for number in range(shards) if number not in found]
    if missing or unfinished:
        parts = [
            f"{what}: {', '.join(some)}" for what, some in (("missing", missing), ("unfinished", unfinished)) if some
        ]
        raise JournalError(f"not all shares are there: {'; '.join(parts)}")
    return [found[number] for number in range(shards)]
