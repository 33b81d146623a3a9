"""The generators of the modules random and numpy.random, seeded at the top.

kind: 15
inputs: number=[0, 1, 2, 3]
expect: [4]
warned processes, mpi, loky, mpiexec: (?s)random.*seed
"""

import json
import random
import sys
import time

import numpy as np

from papympi import node, run

random.seed(7)
np.random.seed(7)


@node(pool="work", stride=1)
def draw(number):
    time.sleep(0.02)
    return random.random(), float(np.random.rand())


@node(pool="inline", gather=True)
def kinds(draw):
    return len(set(draw))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [0, 1, 2, 3]}, pools={"work": pool}))))
