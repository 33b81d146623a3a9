"""The input is a generator that uses thread locals.

kind: 06
inputs: number=[1, 2]
expect: [2, 4]
skip run: its inputs come from the command line
"""

import json
import sys
import threading

from papympi import node, run

local = threading.local()
local.scale = 2


def numbers():
    for number in (1, 2):
        yield number * local.scale


@node(pool="work", stride=1)
def same(number):
    return number


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": numbers()}, pools={"work": pool}))))
