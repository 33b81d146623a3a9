"""The most complex functions of the Python standard library.

    papympi run examples/stdlib_metrics.py
    mpiexec -n 4 papympi run examples/stdlib_metrics.py --target module --target ranking --output metrics.jsonl
    papympi run examples/stdlib_metrics.py --input 'path=src/**/*.py'

Files are read by threads, parsed and measured by MPI ranks (local ones without mpiexec), and ranked by a fold. A file
is scattered into its functions, and the functions of a file are gathered again. `--pool '*=inline'` and any `--stride`
give the same bytes.
"""

from __future__ import annotations

import ast
import sysconfig
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import papympi
from papympi import node

ROOT = Path(sysconfig.get_path("stdlib"))

BRANCHES = (
    ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.With, ast.AsyncWith, ast.Assert,
    ast.comprehension, ast.match_case,
)  # fmt: skip
STATEMENTS = (ast.stmt, ast.ExceptHandler, ast.match_case)
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@dataclass(frozen=True)
class Function:
    """One function of a file: its name with those of the classes and functions around it, its place, its source."""

    name: str
    line: int
    source: str


@dataclass(frozen=True)
class Measured:
    """What was measured of a function."""

    name: str
    line: int
    lines: int
    complexity: int


@dataclass(frozen=True)
class Module:
    """What was measured of a file: how many functions and lines, and the functions with the highest complexity."""

    path: str
    functions: int
    lines: int
    worst: list[Measured]


@dataclass(frozen=True)
class Ranked:
    """One row of the ranking."""

    complexity: int
    lines: int
    function: str
    place: str


@node
def path() -> Iterator[Path]:
    """Every source file below ROOT but those that were installed later."""
    for file in sorted(ROOT.rglob("*.py")):
        if not {"site-packages", "dist-packages"} & set(file.parts):
            yield file


@node(pool="threads")
def source(path):
    """The text of a file, by the encoding that it declares; a file that lies about it is none of ours."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (SyntaxError, UnicodeDecodeError):
        return papympi.DROP


@node(pool="mpi", stride=16)
def function(source) -> Iterator[Function]:
    """Scatter a file into its functions. Broken ones, which the library keeps to test its parsers, have none."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    lines = source.splitlines(keepends=True)
    for name, part in find_functions(tree):
        yield Function(name, part.lineno, "".join(lines[part.lineno - 1 : part.end_lineno]))


def find_functions(scope: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function in a tree with its full name; they stand in statements, so that expressions are passed over."""
    for part in ast.iter_child_nodes(scope):
        if isinstance(part, SCOPES[:3]):
            if not isinstance(part, ast.ClassDef):
                yield prefix + part.name, part
            yield from find_functions(part, f"{prefix}{part.name}.")
        elif isinstance(part, STATEMENTS):
            yield from find_functions(part, prefix)


@node(pool="mpi", stride=16)
def measured(function) -> Measured:
    """McCabe's complexity of a function: one more than its branches. Functions inside it are counted apart."""
    indented = function.source[:1].isspace()
    tree = ast.parse(f"if 1:\n{function.source}" if indented else function.source)
    body = tree.body[0].body[0] if indented else tree.body[0]
    complexity = 1
    waiting = list(ast.iter_child_nodes(body))
    while waiting:
        part = waiting.pop()
        if isinstance(part, SCOPES):
            continue
        if isinstance(part, ast.BoolOp):
            complexity += len(part.values) - 1
        complexity += isinstance(part, BRANCHES)
        waiting.extend(ast.iter_child_nodes(part))
    return Measured(function.name, function.line, function.source.count("\n"), complexity)


@node(pool="mpi", stride=16, gather=True)
def module(path, measured) -> Module:
    """Gather the functions of one file."""
    worst = sorted(measured, key=lambda one: (-one.complexity, one.line))[:10]
    lines = sum(one.lines for one in measured)
    place = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    return Module(place.as_posix(), len(measured), lines, worst)


def merge(left: list[Ranked], right: list[Ranked]) -> list[Ranked]:
    """The first ten of two rankings."""
    return sorted(left + right, key=lambda one: (-one.complexity, one.place, one.function))[:10]


@node(fold=list, combine=merge)
def ranking(total, module):
    """The ten most complex functions of all files."""
    rows = [Ranked(one.complexity, one.lines, one.name, f"{module.path}:{one.line}") for one in module.worst]
    return merge(total, rows)
