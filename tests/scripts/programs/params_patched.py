"""A function of the standard library that the script replaces.

kind: helper modules
inputs: number=[16, 25]
expect: ["root 16", "root 25"]
warned *: (?s)math
refused *: math
"""

import json
import math
import sys

from papympi import node, run


def told(number):
    return f"root {number}"


math.sqrt = told


@node(pool="work", stride=1)
def root(number):
    return math.sqrt(number)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [16, 25]}, pools={"work": pool}))))
