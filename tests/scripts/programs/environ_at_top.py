"""The script sets and removes environment variables at the top.

kind: surroundings
inputs: number=[1, 2]
expect: [["1", false], ["1", false]]
"""

import json
import os
import sys

from papympi import node, run

os.environ["LAB_GAIN"] = "1"
os.environ.pop("HOME", None)


@node(pool="work", stride=1)
def found(number):
    return os.environ.get("LAB_GAIN"), "HOME" in os.environ


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
