"""Writes the page that says what of a script's world arrives at the workers."""

from __future__ import annotations

from typing import Any

from tests.scripts.playing import POOLS, ROOT, WAYS, Cell, Script, read_scripts

PAGE = ROOT / "docs" / "reference" / "what-arrives.md"

HEAD = """\
# What arrives at the workers

A worker's world is the script's world. This page is made by `make matrix` from programs that ask for one thing each;
they stand in `tests/scripts/programs`, under the names of the last column. A program is written in four ways:

- **papympi run**: the nodes stand in a file, and `papympi run FILE` runs them. What stands after the file's guard
  (`if __name__ == "__main__":`) does not happen.
- **guarded script**: `python FILE`, where the call of `run` or `map` stands after the guard.
- **unguarded script**: the same without the guard.
- **notebook**: its parts are the cells of a notebook.

Each is run on the pools `inline`, `threads`, `processes`, `mpi` with ranks that the program starts itself, and `loky`,
and with `papympi run` also under `mpiexec -n 3`. A cell says what comes of it:

- **yes**: the result is that of plain Python in one process, on all pools or on those that are named.
- **warned**: the result may be another one, and a warning says why and what to do.
- **refused**: the run ends before its first result with an error that names the object.
- **n/a**: it makes no sense there; the notes below the tables say why.

No cell says that the result differs and nothing is told. `make test` plays a part of the cells at each time, `make
matrix` all of them. Where the page was made from what the programs demand (`python -m tests.scripts.page`) a cell may
say "yes or refused": either holds, and nothing else.

Two things are the same on every pool only as far as Python can say so. Items are copies on pools with processes, as
pickle makes them: an object is the same one at the other end if it is pickled by its name, as functions, classes,
members of enumerations and plain `object()` sentinels of the script are. And all workers of a run have one hash seed,
which is that of the runner only with `PYTHONHASHSEED`: the order of a set of words may differ between the runner and
its workers, never between two workers.
"""

KINDS = {
    "01": "Locks",
    "02": "Submodules by their dots",
    "03": "Packages that come with loggers of their own",
    "04": "Types",
    "05": "Objects that cannot be packed",
    "06": "Inputs from the script",
    "08": "Consumers that take their time",
    "09": "Settings of the process",
    "11": "Modules that register something",
    "12": "Warnings and flags of the interpreter",
    "13": "Hashes",
    "15": "Random numbers",
    "16": "Managers and keys of multiprocessing",
    "18": "Memory",
    "24": "Files that change during the run",
    "29": "Classes made in functions",
    "35": "Files that workers keep open",
    "helper modules": "Helper modules",
    "globals": "Globals",
    "surroundings": "Arguments, folder, environment",
    "identity": "Identity of objects and classes",
    "functions": "Functions",
    "settings": "Logging, context variables, set-up",
    "multiprocessing": "Processes that nodes start",
    "libraries": "Libraries with threads of their own",
}
"""The headings, by what the heads of programs call their kind."""

Row = dict[str, dict[str, Cell]]


def write_page(scripts: list[Script], cells: dict[str, Row]) -> str:
    """Return the page."""
    notes: dict[str, int] = {}
    parts = [HEAD]
    for kind, heading in KINDS.items():
        rows = [script for script in scripts if script.fields["kind"] == kind]
        if rows:
            parts.append(f"\n## {heading}\n\n| what | {' | '.join(NAMES[way] for way in WAYS)} | program |\n")
            parts.append(f"| --- {'| --- ' * len(WAYS)}| --- |\n")
            parts += [write_row(script, cells[script.name], notes) for script in rows]
    parts.append("\n## Notes\n\n")
    parts += [f"{number}. {why[0].upper()}{why[1:]}.\n" for why, number in notes.items()]
    return "".join(parts)


NAMES = {"run": "papympi run", "guarded": "guarded script", "unguarded": "unguarded script", "notebook": "notebook"}


def write_row(script: Script, row: Row, notes: dict[str, int]) -> str:
    """Return the row of one program."""
    found = [write_cell(row[way], notes) for way in WAYS]
    title = escape(script.fields["title"])
    return f"| {title} | {' | '.join(found)} | `{script.name}` |\n"


def write_cell(of_pools: dict[str, Cell], notes: dict[str, int]) -> str:
    """Return what one cell says: pools of one word together; nothing of mpiexec where there is no such thing."""
    pools = {pool: cell for pool, cell in of_pools.items() if cell.why != "mpiexec starts `papympi run`"}
    groups: dict[str, list[str]] = {}
    for pool, cell in pools.items():
        groups.setdefault(write_word(cell, notes), []).append(pool)
    if len(groups) == 1:
        return next(iter(groups))
    return "; ".join(f"{', '.join(members)}: {word}" for word, members in groups.items())


def write_word(cell: Cell, notes: dict[str, int]) -> str:
    """Return what is said of one pool; the reasons of what makes no sense are numbered."""
    if cell.word == "n/a":
        return f"n/a ({notes.setdefault(cell.why, len(notes) + 1)})"
    if cell.word == "refused" and cell.why:
        return f"refused: {escape(short(cell.why))}"
    return cell.word


def short(why: str) -> str:
    """Return the first word of what was said."""
    return f"`{why.split(maxsplit=1)[0]}`"


def escape(text: Any) -> str:
    """Return a text as it may stand in a table."""
    return str(text).replace("|", "\\|")


def tell_demands(script: Script) -> Row:
    """Return what a program demands of each way and pool, which the tests hold it to."""
    return {way: {pool: tell_demand(script, way, pool) for pool in POOLS} for way in WAYS}


def tell_demand(script: Script, way: str, pool: str) -> Cell:
    """Return what it demands in one place."""
    if why := script.skips(way, pool):
        return Cell("n/a", why)
    also = [kind for kind in ("warned", "refused") if list(script.find(kind, way, pool))]
    return Cell(" or ".join(["yes", *also]))


if __name__ == "__main__":
    every = read_scripts()
    PAGE.write_text(write_page(every, {script.name: tell_demands(script) for script in every}), encoding="utf-8")
