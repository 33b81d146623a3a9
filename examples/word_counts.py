"""The commonest words of many texts: a fold whose parts meet in a tree.

    papympi run examples/word_counts.py --input 'path=examples/*.py'

`path` is an input: the command line gives it. Each worker counts the words of its own batches; `combine` adds the
counts up, in order, so that the result is the same however many workers there are.
"""

from __future__ import annotations

import re
from collections import Counter

from papympi import node


@node(pool="threads")
def text(path):
    """The text of one file."""
    return path.read_text(encoding="utf-8").lower()


@node
def words(text):
    """Its words."""
    return re.findall(r"[a-z]{3,}", text)


def add(left, right):
    """Two counts as one."""
    left.update(right)
    return left


@node(fold=Counter, combine=add)
def counts(total, words):
    """How often each word occurs in all files."""
    total.update(words)
    return total


@node
def commonest(counts):
    """The ten commonest words, as rows of a table."""
    ranked = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    return [{"word": word, "count": count} for word, count in ranked[:10]]
