"""Types of the script that no node needs: NewType, ParamSpec.

kind: 04
inputs: number=[1, 2]
expect: [2, 4]
"""

import json
import sys
from typing import NewType, ParamSpec

from papympi import node, run

Unused = NewType("Unused", dict)
P = ParamSpec("P")


@node(pool="work", stride=1)
def double(number):
    return 2 * number


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
