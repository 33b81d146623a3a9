"""A generator as a global that a node reads.

kind: 05
inputs: number=[1, 2]
expect: [0]
refused *: (?i)numbers|generator
warned *: (?i)numbers|generator
"""

import json
import sys

from papympi import node, run

numbers = iter(number for number in range(100))


@node(pool="work", stride=1)
def taken(number):
    return next(numbers)


@node(pool="inline", gather=True)
def least(taken):
    return min(taken)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
