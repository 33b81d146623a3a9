"""A sentinel is the same object from one node to the next if it is pickled by its name.

kind: identity
inputs: number=[0, 1]
expect: [[true, true], [false, true]]
"""

import json
import sys

from papympi import node, run


class Missing:
    def __reduce__(self):
        return "MISSING"


MISSING = Missing()


@node(pool="inline")
def read(number):
    return number or MISSING


def default(value=MISSING):
    return value


@node(pool="work", stride=1)
def found(read):
    return read is MISSING, default() is MISSING


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [0, 1]}, pools={"work": pool}))))
