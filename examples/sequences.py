"""Base composition of sequences: scatter, a diamond, gather.

    papympi run examples/sequences.py --input 'fasta=examples/data/*.fasta'
    papympi graph examples/sequences.py

A file is scattered into its records, each record is measured in two ways, the two join by key, and the rows of a file
are gathered. The file itself, `fasta`, is shared by all that came from it.
"""

from __future__ import annotations

from math import log2

from papympi import node


@node
def record(fasta):
    """Scatter a file into (name, sequence)."""
    name, parts = "", []
    with fasta.open() as lines:
        for line in lines:
            if line.startswith(">"):
                if name:
                    yield name, "".join(parts)
                name, parts = line[1:].split()[0], []
            else:
                parts.append(line.strip().upper())
    if name:
        yield name, "".join(parts)


@node(stride=4)
def gc(record):
    """The share of G and C."""
    _, sequence = record
    return (sequence.count("G") + sequence.count("C")) / len(sequence)


@node(stride=3)
def entropy(record):
    """The Shannon entropy of the bases, in bits."""
    _, sequence = record
    shares = [sequence.count(base) / len(sequence) for base in "ACGT"]
    return -sum(share * log2(share) for share in shares if share)


@node
def row(record, gc, entropy):
    """Both measures of one record."""
    name, sequence = record
    return {"record": name, "length": len(sequence), "gc": round(gc, 4), "entropy": round(entropy, 4)}


@node(gather=True)
def table(fasta, row):
    """All records of one file."""
    return {"file": fasta.name, "records": len(row), "longest": max(row, key=lambda one: one["length"])}
