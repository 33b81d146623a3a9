"""A module imported for what it registers: how json writes a type.

kind: 11
inputs: number=[1, 2]
expect: ["1+1j", "2+1j"]
"""

import json
import sys

import complexjson

from papympi import node, run


@node(pool="work", stride=1)
def told(number):
    return json.loads(json.dumps(complex(number, 1)))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
