"""What no node needs: a function with validate_call.

kind: 05
inputs: number=[1, 2]
expect: [2, 4]
"""

import json
import sys

import pydantic

from papympi import node, run


@pydantic.validate_call
def unneeded(number: int) -> int:
    return number + 1


@node(pool="work", stride=1)
def double(number):
    return 2 * number


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
