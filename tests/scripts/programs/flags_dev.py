"""Flags of the interpreter: -X dev.

kind: 12
inputs: number=[1, 2]
expect: [true, true]
python: -X dev
skip notebook: a kernel has its own flags
"""

import json
import sys

from papympi import node, run


@node(pool="work", stride=1)
def flags(number):
    return sys.flags.dev_mode


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
