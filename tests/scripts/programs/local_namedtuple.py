"""A NamedTuple and an exception that are defined in main().

kind: 29
expect: [[true, true], [true, true]]
skip run: its graph is made in a function
"""

import json
import sys
from typing import NamedTuple

import papympi


def main(pool):
    class Pair(NamedTuple):
        x: int
        y: int

    class Missing(Exception):
        pass

    def pair(number):
        if number == 2:
            raise Missing(number)
        return Pair(number, number)

    one, two = papympi.map(pair, [1, 2], pool=pool, errors="keep")
    print(
        json.dumps([[isinstance(one, Pair), one == Pair(1, 1)], [type(two.error) is Missing, two.error.args == (2,)]])
    )


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        main(pool)
