"""Writes the page that says what of a script's world arrives at the workers."""

from __future__ import annotations

import re

from tests.scripts.playing import POOLS, ROOT, WAYS, Cell, Script

PAGE = ROOT / "docs" / "reference" / "what-arrives.md"


def write_page(scripts, cells):
    return ""
