"""Flags of the interpreter: -X utf8, -I is not asked for.

kind: 12
inputs: number=[1, 2]
expect: [[1, "utf-8"], [1, "utf-8"]]
python: -X utf8
skip notebook: a kernel has its own flags
"""

import json
import sys

from papympi import node, run


@node(pool="work", stride=1)
def flags(number):
    return sys.flags.utf8_mode, sys.getfilesystemencoding()


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
