"""A helper in a package, with relative imports.

kind: helper modules
inputs: number=[1, 2]
expect: [9, 10]
"""

import json
import sys

from lab.sub import reach

from papympi import node, run


@node(pool="work", stride=1)
def far(number):
    return reach(number)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
