"""The glossary at the head of each room of the workers: it names the public classes there, and no others."""

import ast
import re
from pathlib import Path

import pytest

from papympi import workers

ROOMS = ["evaluation", "children", "ranks"]
HOME = Path(workers.__file__).parent


def classes_of(room):
    """Return the public classes of a room, by name, each with its module."""
    return {
        statement.name: path.stem
        for path in (HOME / room).glob("*.py")
        for statement in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.ClassDef) and statement.name[0].isupper()
    }


def words_of(room):
    """Return the classes that the glossary of a room names."""
    text = ast.get_docstring(ast.parse((HOME / room / "__init__.py").read_text(encoding="utf-8")))
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {word for row in rows for word in re.findall(r"`(\w+)`", row)}


@pytest.mark.parametrize("room", ROOMS)
def test_the_glossary_names_every_class(room):
    classes = {name for name, module in classes_of(room).items() if module != "messages"}  # there each says what it is
    assert words_of(room) == classes
