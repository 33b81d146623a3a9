"""Look up observations in a catalogue: a resource is made once on each worker.

    papympi run examples/catalogue.py --output matches.csv

Here it is a small SQLite database; it could as well be a reference genome, the weights of a model or a licence. What
stands behind its `yield` is called when the worker ends.
"""

from __future__ import annotations

import sqlite3

from papympi import node, resource

STARS = [
    ("Sirius", 101.287, -16.716), ("Canopus", 95.988, -52.696), ("Arcturus", 213.915, 19.182),
    ("Vega", 279.235, 38.784), ("Capella", 79.172, 45.998), ("Rigel", 78.634, -8.202),
    ("Procyon", 114.825, 5.225), ("Betelgeuse", 88.793, 7.407), ("Altair", 297.696, 8.868),
]  # fmt: skip


@resource
def catalogue():
    """A connection to the catalogue."""
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.execute("CREATE TABLE stars (name TEXT, ra REAL, dec REAL)")
    database.executemany("INSERT INTO stars VALUES (?, ?, ?)", STARS)
    yield database
    database.close()


@node
def observed():
    """Positions as a telescope might report them, a little off."""
    for number in range(60):
        _, ra, dec = STARS[number * 4 % len(STARS)]
        yield ra + (number % 5 - 2) / 10, dec - (number % 3 - 1) / 10


@node(stride=8)
def match(observed, catalogue):
    """The closest star."""
    ra, dec = observed
    query = "SELECT name FROM stars ORDER BY (ra - ?) * (ra - ?) + (dec - ?) * (dec - ?) LIMIT 1"
    return catalogue.execute(query, (ra, ra, dec, dec)).fetchone()[0]


@node
def sighting(observed, match):
    """One row of the result."""
    ra, dec = observed
    return {"ra": round(ra, 3), "dec": round(dec, 3), "star": match}
