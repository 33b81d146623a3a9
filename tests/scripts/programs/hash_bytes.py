"""The hash of bytes and of a date is the same on all workers.

kind: 13
inputs: number=[0, 1, 2, 3, 4, 5]
expect: [1]
"""

import datetime
import json
import sys
import time

from papympi import node, run

DAY = datetime.date(2020, 2, 29)


@node(pool="work", stride=1)
def mixed(number):
    time.sleep(0.01)
    return hash((b"mouse", DAY, "x"))


@node(pool="inline", gather=True)
def kinds(mixed):
    return len(set(mixed))


if __name__ == "__main__":
    for pool in sys.argv[1:]:
        print(json.dumps(list(run({"number": [0, 1, 2, 3, 4, 5]}, pools={"work": pool}))))
