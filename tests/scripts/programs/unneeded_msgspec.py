"""What no node needs: a msgspec.Struct, an attrs class.

kind: 05
inputs: number=[1, 2]
expect: [2, 4]
"""

import json
import sys

import attrs
import msgspec

from papympi import node, run


class Unneeded(msgspec.Struct):
    number: int


@attrs.define
class Neither:
    number: int


@node(pool="work", stride=1)
def double(number):
    return 2 * number


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
