"""How Sphinx builds the documentation."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

project = "papympi"
author = "the papympi developers"
copyright = f"2026, {author}"  # noqa: A001  # Sphinx wants this name
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Pipelines of plain Python functions, from a laptop to a cluster"}
html_static_path: list[str] = []
default_role = "code"
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
