"""Joins the results of runs over shares of the inputs: in input order, byte for byte what one run would write."""

from __future__ import annotations

import csv
import heapq
import json
import pickle
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from papympi.errors import JournalError, OptionError
from papympi.formats.outputs import open_output, open_part
from papympi.model.item import Result
from papympi.monitors.events import read_events
from papympi.runner.loading import load_graph
from papympi.stores.rundir import EVENTS, RESULTS, RunDirectory

Row = tuple[int, Any]


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
    if output.suffix == ".pkl":
        load_graph(RunDirectory(folders[0]).list_runs()[0].read_record()["options"]["target"])
    if output.suffix == ".csv":
        return _merge_tables(files, output)
    read = {".jsonl": _read_lines, ".pkl": _read_pickles}.get(output.suffix)
    if read is None:
        raise OptionError(f"cannot merge {output.suffix} files; write .jsonl, .csv or .pkl")
    count = 0
    with open_part(output) as file:
        for _, row in heapq.merge(*map(read, files), key=lambda row: row[0]):
            file.write(row)
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


def _read_lines(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for line in file:
            yield json.loads(line)["key"][0], line


def _read_pickles(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        while file.peek(1):
            begin = file.tell()
            key = pickle.load(file)[1]
            end = file.tell()
            file.seek(begin)
            yield key[0], file.read(end - begin)


def _merge_tables(files: Sequence[Path], output: Path) -> int:
    """Merge tables: a column comes where the first row stands that has it, as in one run."""
    count = 0
    with ExitStack() as stack:
        writer = stack.enter_context(open_output(output))
        tables = [_read_table(stack.enter_context(path.open(encoding="utf-8", newline=""))) for path in files]
        for _, (node, key, fields) in heapq.merge(*tables, key=lambda row: row[0]):
            writer.write(Result(node, key, fields))
            count += 1
    return count


def _read_table(file: Any) -> Iterator[Row]:
    rows = csv.reader(file)
    head = next(rows, [])
    for row in rows:
        key = tuple(json.loads(row[1]))
        yield key[0], (row[0], key, {name: cell for name, cell in zip(head[2:], row[2:], strict=False) if cell})
