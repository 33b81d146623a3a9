"""A lock in a decorator: cachetools.

kind: 01
inputs: number=[3, 4]
expect: [9, 16]
"""

import json
import sys
import threading

import cachetools

from papympi import node, run


@cachetools.cached(cachetools.LRUCache(8), lock=threading.RLock())
def square(number):
    return number * number


@node(pool="work", stride=1)
def squared(number):
    return square(number)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [3, 4]}, pools={"work": pool}))))
