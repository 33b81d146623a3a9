"""Finds `if __name__ == "__main__":` in a script, and takes it out, so that a worker can load the rest."""

from __future__ import annotations

import ast
import dis
from dataclasses import dataclass
from functools import cache
from types import CodeType
from typing import Final

_STORES: Final = frozenset({"STORE_NAME", "STORE_GLOBAL"})


@dataclass(frozen=True, slots=True)
class GuardedScript:
    """A script whose last lines stand under a guard.

    Attributes:
        code: all but what is guarded.
        loaded: names that `code` binds.
        guarded: names that the rest binds.
        lines: of the guarded parts, each with its last.
    """

    code: CodeType
    loaded: frozenset[str]
    guarded: frozenset[str]
    lines: tuple[tuple[int, int], ...]

    def covers(self, line: int) -> bool:
        """Return whether a line stands under a guard."""
        return any(first <= line <= last for first, last in self.lines)


@cache
def read_guarded(data: bytes, path: str) -> GuardedScript | None:
    """Return a script taken apart; `None`: its last lines do not stand under a guard, or it is no Python."""
    try:
        tree = ast.parse(data, path)
    except (SyntaxError, ValueError):
        return None
    if not tree.body or not _is_guard(tree.body[-1]):
        return None
    guards = [part for part in tree.body if _is_guard(part)]
    rest = ast.Module([part for part in tree.body if not _is_guard(part)], [])
    code = compile(rest, path, "exec", dont_inherit=True)
    guarded = compile(ast.Module(list(guards), []), path, "exec", dont_inherit=True)
    lines = tuple((guard.lineno, guard.end_lineno or guard.lineno) for guard in guards)
    return GuardedScript(code, _find_stores(code), _find_stores(guarded), lines)


def _is_guard(part: ast.stmt) -> bool:
    """Return whether a statement is the guard, with its comparison either way round."""
    if not isinstance(part, ast.If) or not isinstance(part.test, ast.Compare) or len(part.test.ops) != 1:
        return False
    sides = {ast.dump(part.test.left), ast.dump(part.test.comparators[0])}
    return isinstance(part.test.ops[0], ast.Eq) and sides == _SIDES


_SIDES: Final = {ast.dump(ast.parse(side, mode="eval").body) for side in ("__name__", "'__main__'")}


def _find_stores(code: CodeType) -> frozenset[str]:
    """Return the names that the code of a module binds by itself."""
    return frozenset(step.argval for step in dis.get_instructions(code) if step.opname in _STORES)
