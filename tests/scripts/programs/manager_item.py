"""A list and a lock of multiprocessing.Manager as items.

kind: 16
inputs: number=[0, 1, 2]
expect: [[0, 1, 2], [0, 1, 2]]
skip run: with papympi run nothing after the guard happens
skip notebook: a kernel has threads, and this manager is forked
"""

import json
import multiprocessing
import sys

from papympi import node, run


@node(pool="work", stride=1)
def note(number, shared):
    numbers, lock = shared
    with lock:
        numbers.append(number)
    return number


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        with multiprocessing.get_context("fork").Manager() as manager:
            shared = manager.list(), manager.Lock()
            found = list(run({"number": range(3), "shared": [shared] * 3}, pools={"work": pool}))
            print(json.dumps([found, sorted(shared[0])]))
