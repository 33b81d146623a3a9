"""A multiprocessing.Pool that spawns, inside a node, calls a function of a helper.

kind: multiprocessing
inputs: number=[1]
expect: [[10, 20]]
skip unguarded: spawn imports the script again, which needs a guard in plain Python, too
"""

import json
import multiprocessing
import sys

import params

from papympi import node, run


@node(pool="work", stride=1)
def spread(number):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.map(params.scale, [number, 2 * number])


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1]}, pools={"work": pool}))))
