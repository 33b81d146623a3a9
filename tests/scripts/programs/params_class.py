"""A class attribute of a helper's class that the script sets.

kind: helper modules
inputs: number=[1, 2]
expect: [4, 8]
"""

import json
import sys

from params import Settings

from papympi import node, run

Settings.rate = 4


@node(pool="work", stride=1)
def scaled(number):
    return Settings().apply(number)


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
