"""A numpy.memmap as a global.

kind: globals
inputs: number=[1, 2]
expect: [1, 2]
"""

import json
import sys

import numpy as np

from papympi import node, run

np.arange(10_000, dtype=np.int64).tofile("numbers.bin")
numbers = np.memmap("numbers.bin", dtype=np.int64, mode="r")


@node(pool="work", stride=1)
def element(number):
    return int(numbers[number])


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
