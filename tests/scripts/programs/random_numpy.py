"""A random generator of NumPy as a global.

kind: 15
inputs: number=[0, 1, 2, 3]
expect: [4]
warned processes, mpi, loky, mpiexec: (?s)rng.*seed
"""

import json
import sys
import time

import numpy as np

from papympi import node, run

rng = np.random.default_rng(42)


@node(pool="work", stride=1)
def draw(number):
    time.sleep(0.02)
    return float(rng.random())


@node(pool="inline", gather=True)
def kinds(draw):
    return len(set(draw))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [0, 1, 2, 3]}, pools={"work": pool}))))
