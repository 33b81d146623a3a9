"""What stands in sys.argv, read at the top.

kind: surroundings
inputs: number=[1, 2]
expect: [true, true]
"""

import json
import pathlib
import sys

from papympi import node, run

FIRST = pathlib.Path(sys.argv[0]).name
COUNT = len(sys.argv)


@node(pool="work", stride=1)
def same(number):
    return COUNT > 1 and (pathlib.Path(sys.argv[0]).name, len(sys.argv)) == (FIRST, COUNT)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
