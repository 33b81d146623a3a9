"""A module imported for what it registers: a case of a singledispatch function.

kind: 11
inputs: number=[1, 2]
expect: ["whole 1", "whole 2"]
"""

import json
import sys

import lab.cases
from lab.dispatch import describe

from papympi import node, run


@node(pool="work", stride=1)
def told(number):
    return describe(number)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
