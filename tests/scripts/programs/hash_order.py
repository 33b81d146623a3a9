"""The order of a set of words is the same on all workers.

kind: 13
inputs: number=[0, 1, 2, 3, 4, 5]
expect: [1]
"""

import json
import sys
import time

from papympi import node, run

WORDS = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu"]


@node(pool="work", stride=1)
def order(number):
    time.sleep(0.01)
    return " ".join(set(WORDS))


@node(pool="inline", gather=True)
def kinds(order):
    return len(set(order))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [0, 1, 2, 3, 4, 5]}, pools={"work": pool}))))
