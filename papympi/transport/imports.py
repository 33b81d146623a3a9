"""What a module has imported, for workers that get the module by value and do not run its source.

Modules count that are there: an import in a branch that was not taken, or in a function, does not.
"""

from __future__ import annotations

import ast
import sys
import tokenize
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

_OWN: Final = frozenset({"papympi", "__main__", "__mp_main__", "__future__", "IPython", "ipykernel"})
_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


def find_imports(module: ModuleType) -> tuple[str, ...]:
    """Return the modules that a module's top level has imported, in the order in which it names them.

    They are read from its source: its file, or the cells of a notebook. Modules that it has in variables count as well;
    without a source also those that its functions, classes and objects come from.
    """
    sources = list(_read_sources(module))
    names: dict[str, None] = {}
    for source in sources:
        names |= dict.fromkeys(_read_imports(source, module))
    for name, value in list(vars(module).items()):
        if isinstance(value, ModuleType):
            names[value.__name__] = None
        elif not sources and not name.startswith("__"):
            origin = getattr(value, "__module__", None)
            names |= {origin: None} if isinstance(origin, str) else {}
    names.pop(module.__name__, None)
    return tuple(name for name in names if name.partition(".")[0] not in _OWN and name in sys.modules)


def _read_sources(module: ModuleType) -> Iterator[ast.Module]:
    """Yield what a module was made of, parsed: its file, or the cells of a notebook."""
    cells = vars(module).get("In")
    file = getattr(module, "__file__", None)
    texts: list[Any] = []
    if "get_ipython" in vars(module) and isinstance(cells, list):
        texts += cells
    if isinstance(file, str):
        try:
            with tokenize.open(file) as source:
                texts.append(source.read())
        except (OSError, SyntaxError, UnicodeDecodeError):
            pass
    for text in texts:
        try:
            yield ast.parse(text)
        except (SyntaxError, ValueError, TypeError):
            continue


def _read_imports(source: ast.AST, module: ModuleType) -> Iterator[str]:
    """Yield the names of the modules that import statements outside functions ask for."""
    for statement in ast.iter_child_nodes(source):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            base = _find_base(statement, module)
            yield base
            yield from (f"{base}.{alias.name}" for alias in statement.names)
        elif isinstance(statement, (ast.stmt, ast.ExceptHandler, ast.match_case)) and not isinstance(
            statement, _SCOPES
        ):
            yield from _read_imports(statement, module)


def _find_base(statement: ast.ImportFrom, module: ModuleType) -> str:
    """Return the module that names are imported from; dots count from the package of the one that imports."""
    if not statement.level:
        return statement.module or ""
    package = (getattr(module, "__package__", None) or "").split(".")
    return ".".join([*package[: len(package) + 1 - statement.level], *filter(None, [statement.module])])
