"""A dict of multiprocessing.Manager, made after the guard.

kind: 16
inputs: number=[0, 1, 2]
expect: [[0, 1, 2], 3]
skip run: with papympi run nothing after the guard happens
skip notebook: a kernel has threads, and this manager is forked
"""

import json
import multiprocessing
import sys

from papympi import node, run

seen = None


@node(pool="work", stride=1)
def note(number):
    seen[number] = True
    return number


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        with multiprocessing.get_context("fork").Manager() as manager:
            seen = manager.dict()
            found = list(run({"number": range(3)}, pools={"work": pool}))
            print(json.dumps([found, len(seen)]))
