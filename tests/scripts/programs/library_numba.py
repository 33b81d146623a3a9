"""numba: a parallel function, compiled and called at the top.

kind: libraries
inputs: number=[10, 20]
expect: [[4950.0, 45.0], [4950.0, 190.0]]
"""

import json
import sys

import numba
import numpy as np

from papympi import node, run


@numba.njit(parallel=True)
def total(numbers):
    found = 0.0
    for i in numba.prange(len(numbers)):
        found += numbers[i]
    return found


FIRST = total(np.arange(100.0))


@node(pool="work", stride=1)
def summed(number):
    return FIRST, total(np.arange(float(number)))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [10, 20]}, pools={"work": pool}))))
