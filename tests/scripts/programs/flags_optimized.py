"""Flags of the interpreter: -O, so that assertions are not made.

kind: 12
inputs: number=[1, 2]
expect: [1, 2]
python: -O
skip notebook: a kernel has its own flags
"""

import json
import sys

from papympi import node, run


@node(pool="work", stride=1)
def checked(number):
    assert number < 0
    return number


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
