"""The operators: each class is the whole life of one kind of step."""

from __future__ import annotations
