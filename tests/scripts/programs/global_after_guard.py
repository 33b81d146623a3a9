"""Globals that are set after the guard: a number, a list, a function, a class.

kind: globals
inputs: number=[1, 2]
expect: [24, 48]
skip run: with papympi run nothing after the guard happens
"""

import json
import sys

from papympi import node, run

scale = 1
parts = [1]


@node(pool="work", stride=1)
def scaled(number):
    return number * scale * sum(parts) * twice(1) * Gain.by


if __name__ == "__main__":
    scale = 2
    parts.append(1)

    def twice(number):
        return 2 * number

    class Gain:
        by = 3

    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
