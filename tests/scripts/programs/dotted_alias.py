"""A submodule by another name: import a.b.c as x.

kind: 02
inputs: number=[1, 2]
expect: [8, 9]
"""

import concurrent.futures
import json
import sys

import lab.sub.deep as deepest

from papympi import node, run


@node(pool="work", stride=1)
def depth(number):
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        return threads.submit(deepest.depth, number).result()


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
