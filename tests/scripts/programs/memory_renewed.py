"""A library that leaks, and a limit of memory.

kind: 18
inputs: number=0..24
expect: [24]
skip run: the limit is an option of the pool
skip inline, threads, loky: these have no limit of memory
"""

import json
import sys

import numpy as np

from papympi import node, run

hoard = []


@node(pool="work", stride=1)
def leaky(number):
    hoard.append(np.ones(5_000_000))
    return number


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        name, _, workers = pool.partition(":")
        options = {"backend": name, "workers": int(workers), "memory": "500 MB"}
        print(json.dumps([len(list(run({"number": range(24)}, pools={"work": options}, errors="drop")))]))
