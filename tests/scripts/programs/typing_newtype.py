"""Types of the script: NewType.

kind: 04
inputs: number=[1, 2]
expect: ["run 1", "run 2"]
"""

import json
import sys
from typing import NewType

from papympi import node, run

RunId = NewType("RunId", int)


@node(pool="work", stride=1)
def label(number):
    return f"run {RunId(number)}"


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [1, 2]}, pools={"work": pool}))))
