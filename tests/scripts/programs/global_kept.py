"""What a worker keeps in a global lasts from item to item.

kind: globals
inputs: number=[0, 1, 2, 3]
expect: [true]
"""

import json
import sys

from papympi import node, run

seen = []


@node(pool="work", stride=1)
def counted(number):
    seen.append(number)
    return len(seen)


@node(pool="inline", gather=True)
def growing(counted):
    return max(counted) > 1


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [0, 1, 2, 3]}, pools={"work": pool}))))
