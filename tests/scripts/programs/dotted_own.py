"""A submodule by its dots: of one's own package.

kind: 02
inputs: number=[1, 2]
expect: [3, 6]
"""

import json
import sys

import lab.calib

from papympi import node, run


@node(pool="work", stride=1)
def gain(number):
    return number * lab.calib.gain()


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
