"""A module imported for what it registers: how pickle packs a type.

kind: 11
inputs: number=[1, 2]
expect: [2, 4]
"""

import json
import sys

import handles

from papympi import node, run


@node(pool="inline")
def handle(number):
    return handles.open_handle(number)


@node(pool="work", stride=1)
def doubled(handle):
    return 2 * handle.number


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
