"""A function with @papympi.setup is called once in each worker.

kind: settings
inputs: number=[1, 2, 3]
expect: [[1, 3], [1, 3], [1, 3]]
"""

import json
import sys

import papympi
from papympi import node, run

calls = []
gain = None


@papympi.setup
def prepare():
    global gain
    gain = 3
    calls.append(1)


@node(pool="work", stride=1)
def found(number):
    return len(calls), gain


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2, 3]}, pools={"work": pool}))))
