"""Random numbers by papympi.random are the same on every pool.

kind: 15
inputs: number=[0, 1, 2]
expect: [4, 66, 35]
"""

import json
import sys

import papympi
from papympi import node, run


@node(pool="work", stride=1)
def draw(number):
    return papympi.random().randrange(100)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [0, 1, 2]}, pools={"work": pool}))))
