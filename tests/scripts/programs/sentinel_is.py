"""A sentinel is the same object in all nodes and in the results.

kind: identity
expect: [true, true, true]
skip run: the consumer compares
"""

import json
import sys

from papympi import node, run

MISSING = object()


@node(pool="work", stride=1)
def read(number):
    return MISSING if number else number


@node(pool="work", stride=1)
def found(read):
    return MISSING if read is MISSING else read


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        found_ = list(run({"number": [0, 1, 2]}, pools={"work": pool}))
        print(json.dumps([found_[0] == 0, found_[1] is MISSING, found_[2] is MISSING]))
