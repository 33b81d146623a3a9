"""A variable of a helper module that the script sets after its guard.

kind: helper modules
inputs: number=[1, 2]
expect: [50, 100]
skip run: with papympi run nothing after the guard happens
"""

import json
import sys

import params

from papympi import node, run


@node(pool="work", stride=1)
def scaled(number):
    return params.scale(number)


if __name__ == "__main__":
    params.STEPS = 50
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
