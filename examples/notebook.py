"""As one writes it in a notebook: no guard, functions made on the spot, results used as they come.

    python examples/notebook.py

Workers never import this file, so it needs no `if __name__ == "__main__"`; its functions travel to them by value.
"""

from __future__ import annotations

import papympi
from papympi import node

LIMIT = 10_000


@node(stride=8)
def steps(start):
    """How many steps the Collatz sequence takes from `start` to 1."""
    count = 0
    while start != 1 and count < LIMIT:
        start = start // 2 if start % 2 == 0 else 3 * start + 1
        count += 1
    return count


@node(gather=10)
def decade(steps):
    """The longest of ten starts in a row."""
    return max(steps)


# Lazy and in order: nothing is computed before it is asked for.
with papympi.run({"start": range(1, 101)}, targets=[decade]) as decades:
    for number, longest in enumerate(decades):
        print(f"{number * 10 + 1:>3}..{number * 10 + 10:>3}: {longest:>3} steps")

# A single function needs no graph; a lambda will do.
squares = papympi.map(lambda number: number * number, range(10), stride=4)
print("squares:", list(squares))
