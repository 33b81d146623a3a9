"""A name that the script takes from a helper, whose dict it fills.

kind: helper modules
inputs: number=[1, 2]
expect: [7, 14]
"""

import json
import sys

from params import TABLE, look_up

from papympi import node, run

TABLE["factor"] = 7


@node(pool="work", stride=1)
def scaled(number):
    return number * look_up("factor")


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
