"""The traceback of a failure shows lines of the script.

kind: functions
inputs: number=[1]
expect: [true]
skip run: the consumer reads it
"""

import json
import sys

from papympi import node, run


@node(pool="work", stride=1)
def broken(number):
    return number / 0  # here


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        (failure,) = run({"number": [1]}, pools={"work": pool}, errors="keep")
        print(json.dumps(["return number / 0  # here" in str(failure.traceback)]))
