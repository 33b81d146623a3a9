"""A multiprocessing.Pool inside a node.

kind: multiprocessing
inputs: number=[1, 2]
expect: [[1, 2], [2, 4]]
"""

import json
import multiprocessing
import sys

from papympi import node, run


def multiply(number):
    return number


@node(pool="work", stride=1)
def spread(number):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(multiply, [number, 2 * number])


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
