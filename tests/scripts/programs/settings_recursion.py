"""Settings: the recursion limit.

kind: 09
inputs: number=[5000]
expect: [5000]
"""

import json
import sys

from papympi import node, run

sys.setrecursionlimit(20_000)


def depth(number):
    return 0 if number == 0 else 1 + depth(number - 1)


@node(pool="work", stride=1)
def deep(number):
    return depth(number)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [5000]}, pools={"work": pool}))))
