"""A global that changes from one run to the next.

kind: globals
inputs: number=[1, 2]
expect: [[1, 2], [5, 10]]
skip run: with papympi run nothing after the guard happens
"""

import json
import sys

from papympi import node, run

scale = 1


@node(pool="work", stride=1)
def scaled(number):
    return number * scale


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        found = []
        for scale in (1, 5):
            found.append(list(run({"number": [1, 2]}, pools={"work": pool})))
        print(json.dumps(found))
