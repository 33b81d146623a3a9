"""How Sphinx builds the documentation."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent.parent))

project = "papympi"
author = "the papympi developers"
copyright = f"2026, {author}"  # noqa: A001  # Sphinx wants this name
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Pipelines of plain Python functions, from a laptop to a cluster"}
html_static_path: list[str] = []
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"


def mark_code(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Turn the `code` of docstrings, which are read as they are in an editor, into what Sphinx takes for code."""
    lines[:] = [re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``\\ ", line).replace("``\\  ", "`` ") for line in lines]


def setup(app: Sphinx) -> None:
    """Have docstrings marked before napoleon reads them."""
    app.connect("autodoc-process-docstring", mark_code, priority=100)
